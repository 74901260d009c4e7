import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { type PanelState, type Stopped, settingsOf } from "../host/model";
import { Session } from "../host/session";
import { followTheme, N_HUES } from "../host/theme";
import { useTraits, type ViewProps, widget } from "../host/widget";
import { EditRow } from "../parts/edit_row";
import { OWN_KEYS } from "../parts/focus";
import { Alarm } from "../parts/notices";
import { repeats } from "../parts/repeats";
import { SettingsLine } from "../parts/settings_line";
import { TextPane } from "../parts/text_pane";
import "./steering_panel.css";

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

function SteeringPanel({ model, shared: session, signal }: ViewProps<PanelState, Session>) {
  useTraits(model, FOLLOWED, signal, (listener) => session.subscribe(listener));
  const [active, setActive] = useState(0);
  const root = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => followTheme(root.current!, signal), []);

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

export default widget(SteeringPanel, (model, signal) => new Session(model, signal));
