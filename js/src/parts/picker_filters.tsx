import type { Filter, Order } from "../host/choice";
import { isKnown, type PickerFeatures } from "../host/picker_features";
import { Choice } from "./choice";

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

/** Only what the dictionary has figures for can be filtered or ordered by. */
export function Filters({ features, filter, order, onFilter, onOrder }: Props) {
  const known: Partial<Record<Order, boolean>> = {
    density: features.measured,
    score: features.scored,
    maximum: isKnown(features.maxima),
  };
  const orders = (Object.keys(ORDERS) as Order[]).filter((key) => known[key] ?? true);
  return (
    <div class="sk-filters">
      {features.scored && (
        <label class="sk-field" title="Labels that fit worse, or were not scored, are left out">
          label score from
          <Choice
            value={String(filter.score)}
            options={[0, 0.6, 0.7, 0.8, 0.9, 0.95].map((score) => [
              String(score),
              score ? String(score) : "any",
            ])}
            onChoose={(score) => onFilter({ ...filter, score: Number(score) })}
          />
        </label>
      )}
      {features.measured && (
        <label class="sk-field" title="Features that are active at more tokens are left out">
          density up to
          <Choice
            value={String(filter.density)}
            options={[1, 0.1, 0.03, 0.01, 0.003, 0.001].map((density) => [
              String(density),
              density === 1 ? "any" : `${100 * density}%`,
            ])}
            onChoose={(density) => onFilter({ ...filter, density: Number(density) })}
          />
        </label>
      )}
      {features.familyNames.length > 0 && (
        <label class="sk-field">
          family
          <Choice
            value={String(filter.family)}
            options={["all", ...features.familyNames].map((name, place) => [
              String(place - 1),
              name,
            ])}
            onChoose={(family) => onFilter({ ...filter, family: Number(family) })}
          />
        </label>
      )}
      <label class="sk-field">
        order
        <Choice
          value={order}
          options={orders.map((key) => [key, ORDERS[key]])}
          onChoose={onOrder}
        />
      </label>
    </div>
  );
}
