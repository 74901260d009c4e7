import type { AnyWidget } from "@anywidget/types";
import { render } from "preact";
import { useLayoutEffect, useReducer, useRef, useState } from "preact/hooks";
import { withSignal } from "../host/lifecycle";
import { type PanelModel, type PanelState, type Stopped, settingsOf, watch } from "../host/model";
import { type Failure, PROTOCOL } from "../host/protocol";
import { Session } from "../host/session";
import { followTheme, N_HUES } from "../host/theme";
import { EditRow } from "../parts/edit_row";
import { OWN_KEYS } from "../parts/focus";
import { repeats } from "../parts/repeats";
import { SettingsLine } from "../parts/settings_line";
import { TextPane } from "../parts/text_pane";
import "./steering_panel.css";

interface Props {
  model: PanelModel;
  session: Session;
  signal: AbortSignal;
}

const STOPPED: Record<Stopped, string[]> = {
  end: ["the text ended"],
  length: [],
  cancelled: ["stopped"],
  overflow: ["stopped: the numbers of the model overflowed, use a smaller strength"],
};
const FOLLOWED = [
  "prompt",
  "strengths",
  "seed",
  "temperature",
  "max_new_tokens",
  "_sliders",
] as const;

function SteeringPanel({ model, session, signal }: Props) {
  const [, redraw] = useReducer((n: number, _: undefined) => n + 1, 0);
  const [active, setActive] = useState(0);
  const root = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const again = () => redraw(undefined);
    for (const name of FOLLOWED) watch(model, name, signal, again);
    signal.addEventListener("abort", session.subscribe(again));
    followTheme(root.current!, signal);
  }, []);

  const write = <K extends keyof PanelState & string>(name: K, value: PanelState[K]) => {
    model.set(name, value);
    model.save_changes();
  };
  const { prompt, strengths, seed, temperature, max_new_tokens } = settingsOf(model);
  const sliders = model.get("_sliders");
  const { baseline, steered } = session.texts;
  const { running, failure } = session;
  const comparable = baseline.tokens.length > 0 && baseline.prompt === steered.prompt;
  const shown = steered.tokens.length > 0;

  const pane = { length: max_new_tokens, sliders, column: active, root };
  const figures = shown ? [`${steered.tokens.length} tokens`] : [];
  if (session.rate > 0 && !steered.fading) figures.push(`${Math.round(session.rate)} tokens/s`);
  if (!running && session.stopped) figures.push(...STOPPED[session.stopped]);
  if (!running && repeats(steered.tokens)) figures.push("the text repeats itself");
  return (
    <div class="sk-root sk-steering-panel" ref={root}>
      <label class="sk-prompt">
        <span class="sk-heading">Prompt</span>
        <textarea
          {...OWN_KEYS}
          rows={2}
          spellcheck={false}
          value={prompt}
          onInput={(event) => write("prompt", event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey || event.shiftKey))
              return;
            event.preventDefault();
            session.start();
          }}
        />
      </label>
      <div class="sk-edits">
        {sliders.map((slider, index) => (
          <EditRow
            key={slider.label}
            slider={slider}
            strength={strengths[index] ?? 0}
            hue={index % N_HUES}
            tints={index === active}
            choice={sliders.length > 1}
            onTint={() => setActive(index)}
            onMove={(strength) => {
              setActive(index);
              model.set("strengths", strengths.with(index, strength));
              session.move(); // the request first: it brings the strengths along
              model.save_changes();
            }}
          />
        ))}
      </div>
      <div class="sk-bar">
        <SettingsLine
          temperature={temperature}
          seed={seed}
          length={max_new_tokens}
          onCommit={(name, value) => {
            write(name, value);
            if (shown || running) session.move();
          }}
        />
        <button
          {...OWN_KEYS}
          type="button"
          class={running ? "" : "sk-idle"}
          onClick={() => session.stop()}
        >
          Stop
        </button>
        <button
          {...OWN_KEYS}
          type="button"
          class="sk-go"
          title="Ctrl+Enter in the prompt does the same"
          onClick={() => session.start()}
        >
          Run
        </button>
      </div>
      <div class={`sk-texts sk-hue-${active % N_HUES}`}>
        <TextPane
          {...pane}
          name="Baseline"
          text={baseline}
          against={null}
          running={running && (baseline.fading || baseline.ghost.length > 0)}
          invitation="The text as the model writes it by itself."
          scale={0}
          meta={baseline.tokens.length ? [`${baseline.tokens.length} tokens`] : []}
        />
        <TextPane
          {...pane}
          name="Steered"
          text={steered}
          against={comparable ? { tokens: baseline.tokens, whole: !running } : null}
          running={running}
          invitation="Press Run, or move a slider."
          scale={session.scales[active] ?? 0}
          meta={figures}
        />
      </div>
      {failure && <Alarm {...failure} />}
      <div class="sk-foot">
        <span role="status">{session.notice}</span>
        <span>{model.get("_about")}</span>
      </div>
    </div>
  );
}

/** What happened in bold, then what is valid and what to do. */
function Alarm({ message, hint }: Failure) {
  const [what = ""] = /^.*?(\.(?=\s|$)|$)/s.exec(message)!;
  return (
    <div class="sk-failure" role="alert">
      <b>{what}</b>
      {message.slice(what.length)} {hint}
    </div>
  );
}

function Mismatch() {
  return (
    <p class="sk-root">
      This page and steerkit in the kernel are of different versions. Restart the kernel, run the
      cell again, and reload the page.
    </p>
  );
}

export default (): AnyWidget<PanelState> => {
  let session: Session;
  return {
    initialize: withSignal(({ model, signal }) => {
      session = new Session(model, signal);
    }),
    render: withSignal(({ model, el, signal }) => {
      const matches = model.get("_protocol") === PROTOCOL;
      render(matches ? <SteeringPanel {...{ model, session, signal }} /> : <Mismatch />, el);
      signal.addEventListener("abort", () => render(null, el));
    }),
  };
};
