import type { Filter, Order } from "../host/choice";
import type { PickerFeatures } from "../host/picker_features";
import { OWN_KEYS } from "./focus";

const ORDERS: Record<Order, string> = {
  match: "best match",
  number: "number",
  density: "density",
  score: "label score",
  maximum: "maximum",
};

interface Props {
  features: PickerFeatures;
  filter: Filter;
  order: Order;
  onFilter: (filter: Filter) => void;
  onOrder: (order: Order) => void;
}

/** Only what the dictionary has figures for can be filtered by. */
export function Filters({ features, filter, order, onFilter, onOrder }: Props) {
  return (
    <div class="sk-filters">
      {features.scored && (
        <label class="sk-field" title="Labels that fit worse, or were not scored, are left out">
          label score from
          <select
            {...OWN_KEYS}
            value={filter.score}
            onChange={(event) => onFilter({ ...filter, score: Number(event.currentTarget.value) })}
          >
            {[0, 0.6, 0.7, 0.8, 0.9, 0.95].map((score) => (
              <option key={score} value={score}>
                {score || "any"}
              </option>
            ))}
          </select>
        </label>
      )}
      {features.measured && (
        <label class="sk-field" title="Features that are active at more tokens are left out">
          density up to
          <select
            {...OWN_KEYS}
            value={filter.density}
            onChange={(event) =>
              onFilter({ ...filter, density: Number(event.currentTarget.value) })
            }
          >
            {[1, 0.1, 0.03, 0.01, 0.003, 0.001].map((density) => (
              <option key={density} value={density}>
                {density === 1 ? "any" : `${100 * density}%`}
              </option>
            ))}
          </select>
        </label>
      )}
      {features.familyNames.length > 0 && (
        <label class="sk-field">
          family
          <select
            {...OWN_KEYS}
            value={filter.family}
            onChange={(event) => onFilter({ ...filter, family: Number(event.currentTarget.value) })}
          >
            <option value={-1}>all</option>
            {features.familyNames.map((name, place) => (
              <option key={name} value={place}>
                {name}
              </option>
            ))}
          </select>
        </label>
      )}
      <label class="sk-field">
        order
        <select
          {...OWN_KEYS}
          value={order}
          onChange={(event) => onOrder(event.currentTarget.value as Order)}
        >
          {Object.entries(ORDERS).map(([key, name]) => (
            <option key={key} value={key}>
              {name}
            </option>
          ))}
        </select>
      </label>
    </div>
  );
}
