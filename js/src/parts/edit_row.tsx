import { useState } from "preact/hooks";
import type { Edit, EditRow as Row, Target, TargetRef, Unit } from "../host/document";
import { SURE } from "../host/reading";
import { Button } from "./button";
import { Choice } from "./choice";
import { EditDetails } from "./edit_details";
import { OWN_KEYS } from "./focus";
import { NumberField } from "./number_field";
import {
  hasStrength,
  hasUnit,
  identityOf,
  limitOf,
  OPERATORS,
  possible,
  UNITS,
  withOperator,
  withUnit,
} from "./operators";
import { scopeInWords } from "./scopes";
import { Slider } from "./slider";

export interface EditRowProps {
  row: Row;
  rows: Row[];
  /** Its name, which no other row has. */
  label: string;
  target: Target;
  /** How other targets are called. */
  labelOf: (target: TargetRef) => string;
  /** What it did in the last text, in words. */
  described: string | undefined;
  chat: boolean;
  onEdit: (changes: Partial<Edit>) => void;
  onReplace: (edit: Edit) => void;
  onHue: (hue: number) => void;
  onRemove: () => void;
}

/** One edit: on or off, its name, operator, strength and unit; where and when behind a button. */
export function EditRow(props: EditRowProps) {
  const { row, rows, label, target, onEdit, onReplace, onRemove } = props;
  const [open, setOpen] = useState(false);
  const { edit } = row;
  const { operator, strength = 0, unit = "raw", enabled = true } = edit;
  const limit = limitOf(edit, target);
  const unsure = target.score !== null && target.score < SURE;
  const said = [scopeInWords(edit.where), edit.when ? "on a condition" : "", target.detail];
  const detail = said.filter(Boolean).join(" · ");
  return (
    <div class={`sk-edit sk-hue-${row.hue}${enabled ? "" : " sk-disabled"}`}>
      <div class="sk-edit-line">
        <input
          {...OWN_KEYS}
          type="checkbox"
          class="sk-on"
          checked={enabled}
          aria-label={`${label} on`}
          title={enabled ? "On: it acts" : "Off: it does nothing"}
          onChange={(event) => onEdit({ enabled: event.currentTarget.checked })}
        />
        <span class="sk-name" title={`${label} · ${detail}`}>
          <span class={unsure ? "sk-unsure" : ""}>{label}</span>
          <small>{detail}</small>
        </span>
        <Choice
          class="sk-operator"
          aria-label={`${label} operator`}
          title={OPERATORS[operator]?.title ?? "An operator of your own"}
          value={operator}
          options={[
            ...Object.entries(OPERATORS).map(
              ([id, { name }]) => [id, name, !possible(id, row, rows)] as const,
            ),
            ...(OPERATORS[operator] ? [] : [[operator, operator] as const]),
          ]}
          onChoose={(chosen) => onReplace(withOperator(row, chosen, rows))}
        />
        {hasStrength(edit) ? (
          <>
            <Slider
              label={label}
              strength={strength}
              identity={identityOf(edit)}
              limit={limit}
              unit={hasUnit(edit) ? UNITS[unit].name : ""}
              disabled={!enabled}
              onMove={(moved) => onEdit({ strength: moved })}
            />
            <NumberField
              name={`${label} strength`}
              title={hasUnit(edit) ? UNITS[unit].title : (OPERATORS[operator]?.title ?? "Strength")}
              strength={strength}
              limit={limit}
              onMove={(moved) => onEdit({ strength: moved })}
            />
          </>
        ) : (
          <span class="sk-words">
            {operator === "ablate" ? "what is there is taken out" : "what is there is moved"}
          </span>
        )}
        {hasUnit(edit) ? (
          <Choice
            class="sk-unit"
            aria-label={`${label} unit`}
            title={UNITS[unit].title}
            value={unit}
            options={(Object.keys(target.units) as Unit[]).map((id) => [id, UNITS[id].name])}
            onChoose={(chosen) => onReplace(withUnit(edit, chosen, target))}
          />
        ) : (
          <span class="sk-unit sk-dim">{operator === "rotate" ? "degrees" : ""}</span>
        )}
        <Button
          class="sk-quiet"
          aria-expanded={open}
          aria-label={`${label}: ${open ? "less" : "more"}`}
          title="Where, when and colour"
          onClick={() => setOpen(!open)}
        >
          {open ? "less" : "more"}
        </Button>
        <Button class="sk-quiet" aria-label={`Remove ${label}`} title="Remove" onClick={onRemove}>
          ×
        </Button>
      </div>
      {open && <EditDetails {...props} />}
    </div>
  );
}
