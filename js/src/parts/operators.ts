import {
  type Edit,
  type EditRow,
  keyOf,
  type Target,
  type TargetRef,
  type Unit,
} from "../host/document";

interface Operator {
  name: string;
  title: string;
  /** The strength that leaves all as it was; 0 where only switching off does. */
  identity: number;
}

/** What an edit does to its coefficient, by steerkit's names. */
export const OPERATORS: Record<string, Operator> = {
  add: { name: "add", title: "Adds the strength to what is there", identity: 0 },
  set: { name: "set", title: "Makes it the strength, whatever was there", identity: 0 },
  at_least: { name: "at least", title: "Raises it to the strength where it is lower", identity: 0 },
  at_most: { name: "at most", title: "Lowers it to the strength where it is higher", identity: 0 },
  cap: { name: "cap", title: "Keeps it between two bounds", identity: 0 },
  scale: { name: "scale", title: "Multiplies what is there", identity: 1 },
  ablate: { name: "ablate", title: "Takes what is there out", identity: 0 },
  move_to: { name: "move to", title: "Moves what is there to another", identity: 0 },
  rotate: { name: "rotate", title: "Turns it towards another, by degrees", identity: 0 },
};
const WITHOUT_UNIT = ["scale", "ablate", "move_to", "rotate"];
const WITHOUT_STRENGTH = ["ablate", "move_to"];
const PAIRED = ["move_to", "rotate"];
/** A factor's slider goes as far to either side of 1. */
const FACTORS = 4;
const DEGREES = 180;

export const UNITS: Record<Unit, { name: string; title: string }> = {
  raw: { name: "× direction", title: "Multiples of the direction as it stands" },
  max: { name: "× max", title: "Multiples of the feature's maximum activation" },
  residual: { name: "length", title: "Length of what is written, in units of the activation" },
  norm: { name: "× norm", title: "A fraction of each token's own norm" },
};

export const hasUnit = ({ operator }: Edit) => !WITHOUT_UNIT.includes(operator);
export const hasStrength = ({ operator }: Edit) => !WITHOUT_STRENGTH.includes(operator);
export const isPaired = ({ operator }: Edit) => PAIRED.includes(operator);

export function identityOf({ operator }: Edit): number {
  return OPERATORS[operator]?.identity ?? 0;
}

/** How far the slider of an edit goes to either side of its identity. */
export function limitOf(edit: Edit, target: Target): number {
  if (edit.operator === "scale") return FACTORS;
  if (edit.operator === "rotate") return DEGREES;
  return target.units[edit.unit ?? "raw"]?.limit ?? 1;
}

/** Those that two directions can be edited with: vectors, or features of one dictionary, the one it has among them. */
export function partners({ edit }: EditRow, rows: EditRow[]): TargetRef[] {
  const kind = (ref: TargetRef) =>
    "vector" in ref || ("feature" in ref ? ref.dictionary : keyOf(ref));
  const found = rows.map((row) => row.edit.target).concat(edit.other ?? []);
  const named = new Map(found.map((other) => [keyOf(other), other]));
  named.delete(keyOf(edit.target));
  return [...named.values()].filter((other) => kind(other) === kind(edit.target));
}

/** Whether an edit can have this operator beside these rows. */
export function possible(operator: string, row: EditRow, rows: EditRow[]): boolean {
  if (!PAIRED.includes(operator)) return true;
  if (operator === "rotate" && !("vector" in row.edit.target)) return false;
  return partners(row, rows).length > 0;
}

/** The same edit by another operator, at rest where the old strength would mean something else. */
export function withOperator(row: EditRow, operator: string, rows: EditRow[]): Edit {
  const { low, other, unit, strength = 0, ...rest } = row.edit;
  const edit: Edit = { ...rest, operator };
  const keeps = hasUnit(row.edit) && hasUnit(edit);
  if (hasStrength(edit)) edit.strength = keeps ? strength : identityOf(edit);
  if (hasUnit(edit)) edit.unit = keeps ? (unit ?? "raw") : "raw";
  if (operator === "cap") edit.low = Math.min(0, edit.strength ?? 0);
  if (isPaired(edit)) edit.other = other ?? partners(row, rows)[0];
  return edit;
}

/** The same edit with its strength in another unit; at rest where nothing is known to convert it by. */
export function withUnit(edit: Edit, unit: Unit, { units }: Target): Edit {
  const from = units[edit.unit ?? "raw"]?.times;
  const to = units[unit]?.times;
  const times = from && to ? to / from : 0;
  const converted = (strength: number) => Number((strength * times).toPrecision(4)) || 0;
  const low = edit.low === undefined ? {} : { low: converted(edit.low) };
  return { ...edit, ...low, unit, strength: converted(edit.strength ?? 0) };
}
