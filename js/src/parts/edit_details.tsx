import { keyOf, type Relation } from "../host/document";
import { N_HUES } from "../host/theme";
import { Check } from "./check";
import { Choice } from "./choice";
import { DraftInput } from "./draft_input";
import type { EditRowProps } from "./edit_row";
import { OWN_KEYS } from "./focus";
import { NumberField } from "./number_field";
import { isPaired, limitOf, partners } from "./operators";
import { useOwnId } from "./own_id";
import {
  CHAT,
  COUNTED,
  comparisonOf,
  conditionOf,
  SCOPES,
  type Scope,
  SPANS,
  type Span,
  scopeOf,
  withScope,
} from "./scopes";

const HUE_NAMES = ["orange", "blue", "green", "purple", "teal", "pink"];
const ALWAYS = "always";
const ELSEWHERE = ["", "as set in Python"] as const;
const RELATIONS: Relation[] = [">", ">=", "<", "<="];

/** Where an edit acts, when, and in which colour; what its operator needs besides a strength. */
export function EditDetails(props: EditRowProps) {
  const { row, rows, label, target, labelOf, described, onEdit, onHue } = props;
  const { edit } = row;
  const id = useOwnId();
  return (
    <div class="sk-details">
      {edit.low !== undefined && (
        <span class="sk-field">
          from
          <NumberField
            name={`${label} lower bound`}
            title="The lower bound, in the same unit"
            strength={edit.low}
            limit={limitOf(edit, target)}
            onMove={(low) => onEdit({ low })}
          />
        </span>
      )}
      {isPaired(edit) && (
        <label>
          {edit.operator === "rotate" ? "towards" : "to"}
          <Choice
            value={edit.other && keyOf(edit.other)}
            options={partners(row, rows).map((other) => [keyOf(other), labelOf(other)])}
            onChoose={(key) =>
              onEdit({ other: partners(row, rows).find((other) => keyOf(other) === key)! })
            }
          />
        </label>
      )}
      <WhereField {...props} />
      <WhenField {...props} />
      <fieldset class="sk-colours">
        <legend>colour</legend>
        {Array.from({ length: N_HUES }, (_, hue) => (
          <label key={HUE_NAMES[hue]} class={`sk-hue-${hue}`} title={HUE_NAMES[hue]}>
            <input
              {...OWN_KEYS}
              type="radio"
              name={id}
              aria-label={`${label} ${HUE_NAMES[hue]}`}
              checked={row.hue === hue}
              onChange={() => onHue(hue)}
            />
          </label>
        ))}
      </fieldset>
      {described && <p class="sk-dim">In the last text: {described}</p>}
    </div>
  );
}

function WhereField({ row, label, chat, onEdit }: EditRowProps) {
  const { where = {} } = row.edit;
  const found = scopeOf(where);
  const { scope = "", n = 1 } = found ?? {};
  const change = (next: Scope, at: number) => onEdit({ where: withScope(where, next, at) });
  const scopes = (Object.keys(SCOPES) as Scope[]).filter((one) => chat || !CHAT.includes(one));
  return (
    <>
      <label>
        where
        <Choice
          aria-label={`${label} where`}
          value={scope}
          options={[
            ...scopes.map(
              (one) => [one, SCOPES[one] + (COUNTED.includes(one) ? " …" : "")] as const,
            ),
            ...(found ? [] : [ELSEWHERE]),
          ]}
          onChoose={(one) => one && change(one, n)}
        />
      </label>
      {found && COUNTED.includes(found.scope) && (
        <DraftInput
          class="sk-count"
          type="number"
          min={1}
          step={1}
          value={n}
          aria-label={`${label} new token`}
          onCommit={({ valueAsNumber: typed }) =>
            typed >= 1 && change(found.scope, Math.round(typed))
          }
        />
      )}
      <Check
        name="special tokens too"
        title="Beginning of text, and the chat template's own tokens"
        checked={where.special ?? false}
        onCheck={(special) => onEdit({ where: { ...where, special } })}
      />
      <label title="What it is multiplied by at each further new token; 1 keeps it whole">
        fades by
        <DraftInput
          class="sk-count"
          type="number"
          min={0.01}
          max={1}
          step={0.01}
          value={where.decay ?? 1}
          onCommit={({ valueAsNumber: decay }) =>
            decay > 0 && decay <= 1 && onEdit({ where: { ...where, decay } })
          }
        />
      </label>
    </>
  );
}

function WhenField({ row, rows, label, labelOf, onEdit }: EditRowProps) {
  const { when, target } = row.edit;
  const found = comparisonOf(when);
  const { comparison, span = "here" } = found ?? {};
  const targets = [target, ...rows.map(({ edit }) => edit.target), comparison?.target ?? target];
  const read = new Map(targets.map((other) => [keyOf(other), other]));
  const choose = (key: string) => {
    const chosen = read.get(key);
    if (!chosen) return onEdit({ when: undefined });
    const rest = comparison ?? { relation: ">" as Relation, threshold: 0, reading: "coefficient" };
    onEdit({ when: conditionOf({ ...rest, target: chosen }, span) });
  };
  return (
    <>
      <label>
        when
        <Choice
          aria-label={`${label} when`}
          value={comparison ? keyOf(comparison.target) : when ? "" : ALWAYS}
          options={[
            [ALWAYS, ALWAYS],
            ...[...read].map(([key, other]) => [key, labelOf(other)] as const),
            ...(when && !found ? [ELSEWHERE] : []),
          ]}
          onChoose={choose}
        />
      </label>
      {comparison && (
        <>
          <Choice
            aria-label={`${label} relation`}
            value={comparison.relation}
            options={RELATIONS.map((relation) => [relation, relation])}
            onChoose={(relation) =>
              onEdit({ when: conditionOf({ ...comparison, relation }, span) })
            }
          />
          <NumberField
            name={`${label} threshold`}
            title="Its coefficient, in its own units"
            strength={comparison.threshold}
            limit={5}
            onMove={(threshold) =>
              onEdit({ when: conditionOf({ ...comparison, threshold }, span) })
            }
          />
          <Choice
            aria-label={`${label} asked`}
            value={span}
            options={Object.entries(SPANS) as [Span, string][]}
            onChoose={(chosen) => onEdit({ when: conditionOf(comparison, chosen) })}
          />
        </>
      )}
    </>
  );
}
