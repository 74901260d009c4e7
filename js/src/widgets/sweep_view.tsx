import { useLayoutEffect, useRef } from "preact/hooks";
import { followTheme } from "../host/theme";
import { useTraits, type ViewProps, widget } from "../host/widget";
import { Curve } from "../parts/curve";
import { OWN_KEYS } from "../parts/focus";
import { useOwnId } from "../parts/own_id";
import { format } from "../parts/strength";
import "./sweep_view.css";

interface Run {
  strength: number;
  text: string;
  nats: number | null;
  repetition: number;
  effect: number | null;
  about: string;
}

interface State {
  _protocol: number;
  _about: string;
  _effect: string;
  _prompt: string;
  _runs: Run[];
  _chosen: number | null;
}

function SweepView({ model, signal }: ViewProps<State, null>) {
  useTraits(model, ["_chosen", "_runs"], signal);
  const root = useRef<HTMLDivElement>(null);
  const id = useOwnId();
  useLayoutEffect(() => followTheme(root.current!, signal), []);
  const runs = model.get("_runs");
  const chosen = model.get("_chosen");
  const choose = (place: number) => {
    model.set("_chosen", place);
    model.save_changes();
  };
  // A click on a curve brings its text into sight.
  useLayoutEffect(() => {
    if (chosen !== null)
      root.current!.querySelectorAll(".sk-run")[chosen]?.scrollIntoView({ block: "nearest" });
  }, [chosen]);
  if (runs.length === 0) {
    return (
      <div class="sk-root sk-sweep-view" ref={root}>
        <p class="sk-dim">No strengths have been swept yet.</p>
      </div>
    );
  }
  const curve = { x: runs.map(({ strength }) => strength), chosen, onChoose: choose };
  return (
    <div class="sk-root sk-sweep-view" ref={root}>
      <div class="sk-sides">
        <div class="sk-runs" role="radiogroup" aria-label="Texts by strength">
          {runs.map((run, place) => (
            <label
              key={place}
              class={place === chosen ? "sk-run sk-chosen" : "sk-run"}
              title={run.about}
            >
              <input
                {...OWN_KEYS}
                type="radio"
                name={id}
                checked={place === chosen}
                onChange={() => choose(place)}
              />
              <span class="sk-strength">{format(run.strength)}</span>
              <span class="sk-prose" dir="auto">
                <span class="sk-lead">{model.get("_prompt")}</span>
                {run.text}
              </span>
            </label>
          ))}
        </div>
        <section aria-label="Figures by strength">
          <Curve
            name="Effect"
            unit={model.get("_effect")}
            y={runs.map((run) => run.effect)}
            hue={0}
            {...curve}
          />
          <Curve
            name="Nats a token"
            unit="under the unsteered model: higher is less likely text"
            y={runs.map((run) => run.nats)}
            hue={null}
            {...curve}
          />
          <Curve
            name="Repetition"
            unit="share of 4-grams that stood there before"
            y={runs.map((run) => run.repetition)}
            hue={null}
            {...curve}
          />
          <p class="sk-dim">
            Strength of {model.get("_about")}, from {format(runs[0]?.strength ?? 0)} to{" "}
            {format(runs.at(-1)?.strength ?? 0)}
          </p>
        </section>
      </div>
      <div class="sk-foot">
        <span role="status">
          {chosen === null
            ? "Choose a strength: click a point or a text."
            : `Strength ${format(runs[chosen]!.strength)} · ${runs[chosen]!.about}`}
        </span>
      </div>
    </div>
  );
}

export default widget<State, null>(SweepView, () => null);
