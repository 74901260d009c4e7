import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { isEmpty, type TargetRef } from "../host/document";
import { Panel } from "../host/panel";
import type { PanelState, Stopped } from "../host/panel_state";
import { followTheme } from "../host/theme";
import { useTraits, type ViewProps, widget } from "../host/widget";
import { Button } from "../parts/button";
import { Check } from "../parts/check";
import { Choice } from "../parts/choice";
import { EditRow } from "../parts/edit_row";
import { Exchange } from "../parts/exchange";
import { Alarm } from "../parts/notices";
import { Presets } from "../parts/presets";
import { PromptBox } from "../parts/prompt_box";
import { SearchBox } from "../parts/search_box";
import { SettingsLine } from "../parts/settings_line";
import { type PaneText, TextPane } from "../parts/text_pane";
import { visible } from "../parts/token_card";
import { warnings } from "../parts/warnings";
import "./steering_panel.css";

const ENDED: Partial<Record<Stopped, string>> = {
  end: "the text ended",
  cancelled: "stopped",
  condition: "ended by a condition",
};
const FOLLOWED = ["_targets", "_presets"] as const;

function SteeringPanel({ model, shared: panel, signal }: ViewProps<PanelState, Panel>) {
  const root = useRef<HTMLDivElement>(null);
  const [moved, setMoved] = useState<string | null>(null);
  const [picked, setPicked] = useState<number | null>(null);
  useTraits(model, FOLLOWED, signal, panel.subscribe);
  useLayoutEffect(() => followTheme(root.current!, signal), []);

  const { session, document } = panel;
  const { edits, settings, before } = document;
  const { running } = session;
  const pairs = session.pairs;
  const labels = panel.names(edits);
  const tint = edits.find(({ id }) => id === moved) ?? edits[0];
  const labelOf = (ref: TargetRef) => panel.target(ref).label;
  const texts = model.get("_texts");
  const sameEdits = texts && JSON.stringify(texts.document.edits) === JSON.stringify(edits);
  const written = (pairs[0]?.steered.tokens.length ?? 0) > 0;

  const steered = pairs.map((pair, sample): PaneText => {
    const { baseline, stopped, measures } = pair;
    const n = pair.steered.tokens.length;
    const figures = n ? [`${n} tokens`] : [];
    const [nats] = measures?.nats ?? [];
    if (sample === 0 && session.rate > 0 && !pair.steered.fading)
      figures.push(`${Math.round(session.rate)} tokens/s`);
    if (nats != null) figures.push(`${nats.toFixed(1)} nats a token`);
    const kl = mean(measures?.tokens.flatMap((token) => token?.kl ?? []) ?? []);
    if (kl !== null) figures.push(`KL ${kl.toFixed(2)}`);
    const ended = running ? undefined : stopped && ENDED[stopped];
    if (ended) figures.push(ended);
    return {
      pair,
      text: pair.steered,
      other: baseline.prompt === pair.steered.prompt ? baseline : null,
      running: pair.writing,
      figures,
      warnings: running ? [] : warnings(stopped, measures),
    };
  });
  const baselines = pairs.map((pair): PaneText => {
    const { baseline, measures } = pair;
    const nats = measures?.nats[1];
    const figures = baseline.tokens.length ? [`${baseline.tokens.length} tokens`] : [];
    if (nats != null) figures.push(`${nats.toFixed(1)} nats a token`);
    return {
      pair,
      text: baseline,
      other: baseline.prompt === pair.steered.prompt ? pair.steered : null,
      running: pair.both,
      figures,
      warnings: [],
    };
  });
  const pane = { length: settings.max_new_tokens, edits, labels, root };
  const asked = [session, panel.load, panel.script, panel.recipe];
  const failure = asked.find((one) => one.failure)?.failure;
  const kept = before.at(-1)?.until;
  const at = picked !== null && !running ? pairs[0]?.steered.tokens[picked] : undefined;
  return (
    <div
      class="sk-root sk-steering-panel"
      role="group"
      aria-label="Steering panel"
      ref={root}
      onKeyDown={(event) => {
        const typing = /^(text|search|textarea)$/.test(
          (event.target as HTMLInputElement).type ?? "",
        );
        if (typing || event.key.toLowerCase() !== "z" || !(event.ctrlKey || event.metaKey)) return;
        event.preventDefault();
        event.stopPropagation();
        if (event.shiftKey) panel.redo();
        else panel.undo();
      }}
    >
      <div class="sk-tools">
        <span class="sk-about">{model.get("_about")}</span>
        <Button aria-disabled={!panel.canUndo} onClick={() => panel.undo()}>
          Undo
        </Button>
        <Button aria-disabled={!panel.canRedo} onClick={() => panel.redo()}>
          Redo
        </Button>
        <Button title="Back to what the panel began with" onClick={() => panel.reset()}>
          Reset
        </Button>
        <Exchange panel={panel} />
      </div>
      <PromptBox
        prompt={document.prompt}
        chat={model.get("_chat")}
        onChange={(prompt) => panel.change({ prompt }, "prompt")}
        onRun={() => session.start()}
      />
      <div class="sk-edits">
        {edits.map((row, index) => (
          <EditRow
            key={row.id}
            row={row}
            rows={edits}
            label={labels[index]!}
            target={panel.target(row.edit.target)}
            labelOf={labelOf}
            described={sameEdits ? texts.described[index] : undefined}
            chat={model.get("_chat")}
            onEdit={(changes) => {
              setMoved(row.id);
              panel.edit(row.id, changes);
            }}
            onReplace={(edit) =>
              panel.change({ edits: edits.with(index, { ...row, edit }) }, `${row.id} replaced`)
            }
            onHue={(hue) => panel.change({ edits: edits.with(index, { ...row, hue }) }, "hue")}
            onRemove={() => panel.remove(row.id)}
          />
        ))}
      </div>
      <div class="sk-bar">
        <SearchBox question={panel.search} onChoose={(target) => panel.add(target)} />
        <Presets
          presets={model.get("_presets")}
          onTake={({ name, ...plan }) => panel.change(plan, "preset")}
          onKeep={(name) => panel.keepPreset(name)}
          onDrop={(name) => panel.dropPreset(name)}
        />
        <Check
          name="Keep norms"
          title="Each token's norm stays what it was"
          checked={document.preserve_norm}
          onCheck={(preserve_norm) => panel.change({ preserve_norm }, "norm")}
        />
        <Check
          name="Random control"
          title="Random directions of the same lengths in place of the edits' own: does the direction matter?"
          checked={document.control}
          onCheck={(control) => panel.change({ control }, "control")}
        />
      </div>
      <div class="sk-bar">
        <SettingsLine
          settings={settings}
          onCommit={(changes) =>
            panel.change({ settings: { ...settings, ...changes } }, "settings")
          }
        />
        <Check
          name="Steer mid-text"
          title="A change acts on the running text from its next token on, in place of starting again"
          checked={session.midway}
          onCheck={(midway) => session.steerMidway(midway)}
        />
        <Button class={running ? "" : "sk-idle"} onClick={() => session.stop()}>
          Stop
        </Button>
        <Button
          class="sk-go"
          title="Ctrl+Enter in the prompt does the same"
          onClick={() => session.start()}
        >
          Run
        </Button>
      </div>
      {failure && <Alarm {...failure} />}
      <div
        class={`sk-texts${pairs.length > 1 ? " sk-several" : ""}`}
        style={{ "--n": pairs.length }}
      >
        <TextPane
          {...pane}
          name="Baseline"
          texts={baselines}
          marks={false}
          tint={undefined}
          scale={0}
          invitation="The text as the model writes it by itself."
        />
        <TextPane
          {...pane}
          name="Steered"
          texts={steered}
          marks
          tint={tint}
          scale={tint ? (session.scales[tint.id] ?? 0) : 0}
          invitation={
            isEmpty(document.prompt)
              ? "Write a prompt, then press Run."
              : "Press Run, or move a slider."
          }
          tools={
            edits.length > 1 && (
              <label class={`sk-tint sk-hue-${tint?.hue ?? 0}`}>
                <span class="sk-dot" /> tinted by
                <Choice
                  value={tint?.id}
                  options={edits.map(({ id }, index) => [id, labels[index]!])}
                  onChoose={setMoved}
                />
              </label>
            )
          }
          picking={{ at: picked, onPick: (index) => setPicked(index === picked ? null : index) }}
        />
      </div>
      <div class="sk-foot">
        <span role="status">{asked.find((one) => one.notice)?.notice}</span>
        {document.control && written && (
          <span class="sk-warning">Random directions are in force.</span>
        )}
        {kept !== undefined && (
          <Button
            title="Steer the whole text again"
            onClick={() => panel.change({ before: [] }, "keep")}
          >
            The first {kept} tokens are kept ×
          </Button>
        )}
        {at !== undefined && (
          <Button
            title="What stands before it stays; edits that change now act from here on"
            onClick={() => {
              panel.keep(picked!);
              setPicked(null);
            }}
          >
            Steer from “{visible(at)}” on
          </Button>
        )}
      </div>
    </div>
  );
}

function mean(numbers: number[]): number | null {
  return numbers.length ? numbers.reduce((sum, x) => sum + x, 0) / numbers.length : null;
}

export default widget<PanelState, Panel>(
  SteeringPanel,
  (model, signal) => new Panel(model, signal),
);
