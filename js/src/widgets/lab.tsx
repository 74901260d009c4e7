import type { AnyModel, Host } from "@anywidget/types";
import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { download } from "../host/download";
import { Question } from "../host/question";
import { followTheme } from "../host/theme";
import { useTraits, type ViewProps, widget } from "../host/widget";
import { Button } from "../parts/button";
import { Choice } from "../parts/choice";
import { Alarm } from "../parts/notices";
import { useOwnId } from "../parts/own_id";
import "./lab.css";

type Place = "panel" | "tokens" | "picker" | "card" | "sweep" | "contrast";

interface State extends Record<Place, string> {
  _protocol: number;
  _edits: { id: string; label: string }[];
  _unread: string;
}

interface Asked {
  sweep: Question<{ edit: string }, object>;
  direction: Question<object, object>;
  page: Question<object, string>;
}

function Lab({ model, shared: asked, signal, host }: ViewProps<State, Asked>) {
  useTraits(model, ["_edits", "_unread"], signal, (listener) => {
    const ends = Object.values(asked).map((question) => question.subscribe(listener));
    return () => {
      for (const end of ends) end();
    };
  });
  const root = useRef<HTMLDivElement>(null);
  const [chosen, setChosen] = useState("");
  const [saving, setSaving] = useState(false);
  useLayoutEffect(() => followTheme(root.current!, signal), []);
  useLayoutEffect(() => {
    if (!saving || !asked.page.answered) return;
    setSaving(false);
    download("lab.html", asked.page.answered.result, "text/html");
  });
  const edits = model.get("_edits");
  const edit = edits.find(({ id }) => id === chosen) ?? edits[0];
  const unread = model.get("_unread");
  const view = { model, host, signal };
  return (
    <div class="sk-root sk-lab" ref={root}>
      {!host && (
        <p>
          This notebook's anywidget is older than 0.11 and cannot draw widgets within others. Show
          lab.panel, lab.tokens, lab.picker, lab.card, lab.sweep and lab.contrast in cells of their
          own.
        </p>
      )}
      <div class="sk-lab-grid">
        <div class="sk-lab-part">
          <View name="Steering" place="panel" {...view} />
          <View name="The steered text, as the unsteered model reads it" place="tokens" {...view}>
            {unread && <Alarm kind="" message={unread} hint="" />}
          </View>
          <View name="Sweep of a strength" place="sweep" {...view}>
            <Asking
              question={asked.sweep}
              does="Sweep"
              doing="Writing at nine strengths …"
              ready={edit !== undefined}
              onAsk={() => asked.sweep.ask({ edit: edit!.id })}
            >
              <Choice
                aria-label="Edit to sweep"
                value={edit?.id}
                options={
                  edit
                    ? edits.map(({ id, label }) => [id, label] as const)
                    : [["", "Choose a feature first"]]
                }
                onChoose={setChosen}
              />
            </Asking>
          </View>
        </div>
        <div class="sk-lab-part sk-lab-side">
          <View name="Features" place="picker" {...view} />
          <View name="The feature that was chosen last" place="card" {...view} />
        </div>
      </div>
      <View name="Contrast of texts" place="contrast" {...view}>
        <Asking
          question={asked.direction}
          does="Steer with their difference"
          doing="Reading the texts …"
          ready
          onAsk={() => asked.direction.ask({})}
        />
      </View>
      <Asking
        question={asked.page}
        does="Save page"
        doing="Writing the page …"
        ready
        onAsk={() => {
          asked.page.clear();
          asked.page.ask({});
          setSaving(true);
        }}
      >
        <span class="sk-dim">A file that shows all of this without a kernel or a network:</span>
      </Asking>
    </div>
  );
}

interface ViewOf {
  name: string;
  place: Place;
  model: AnyModel<State>;
  host: Host | undefined;
  signal: AbortSignal;
  children?: ComponentChildren;
}

/** A widget of the lab, with what the lab adds to it. */
function View({ name, place, model, host, signal, children }: ViewOf) {
  const id = useOwnId();
  const el = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    host?.getWidget(model.get(place)).then(({ render }) => render({ el: el.current!, signal }));
  }, []);
  return (
    <section class="sk-lab-view" aria-labelledby={id}>
      <h2 id={id}>{name}</h2>
      {children}
      <div ref={el} />
    </section>
  );
}

interface AskingProps {
  question: Pick<Question<object, unknown>, "pending" | "notice" | "failure">;
  does: string;
  doing: string;
  ready: boolean;
  onAsk: () => void;
  children?: ComponentChildren;
}

/** A button that asks the kernel, with what comes of it in words. */
function Asking({ question, does, doing, ready, onAsk, children }: AskingProps) {
  return (
    <>
      <div class="sk-lab-bar" aria-busy={question.pending}>
        {children}
        <Button aria-disabled={!ready} onClick={() => ready && onAsk()}>
          {does}
        </Button>
        <span role="status" class="sk-dim">
          {question.notice || (question.pending ? doing : "")}
        </span>
      </div>
      {question.failure && <Alarm {...question.failure} />}
    </>
  );
}

export default widget<State, Asked>(Lab, (model, signal) => {
  const own = model as unknown as AnyModel;
  return {
    sweep: new Question(own, "sweep", signal),
    direction: new Question(own, "direction", signal),
    page: new Question(own, "page", signal),
  };
});
