import { useState } from "preact/hooks";
import type { Preset } from "../host/panel_state";
import { Button } from "./button";
import { OWN_KEYS } from "./focus";
import { Menu } from "./menu";

interface Props {
  presets: Preset[];
  onTake: (preset: Preset) => void;
  onKeep: (name: string) => void;
  onDrop: (name: string) => void;
}

/** Lists of edits to choose from, by name. */
export function Presets({ presets, onTake, onKeep, onDrop }: Props) {
  const [name, setName] = useState("");
  const keep = (close: () => void) => {
    if (name.trim() === "") return;
    onKeep(name.trim());
    setName("");
    close();
  };
  return (
    <Menu name="Presets" title="Lists of edits, by name">
      {(close) => (
        <>
          {presets.map((preset) => (
            <div class="sk-preset" key={preset.name}>
              <Button
                class="sk-quiet"
                onClick={() => {
                  onTake(preset);
                  close();
                }}
              >
                {preset.name}
              </Button>
              <Button
                class="sk-quiet"
                aria-label={`Forget ${preset.name}`}
                onClick={() => onDrop(preset.name)}
              >
                ×
              </Button>
            </div>
          ))}
          <div class="sk-preset">
            <input
              {...OWN_KEYS}
              type="text"
              placeholder="Name these edits"
              aria-label="Name of the preset"
              value={name}
              onInput={(event) => setName(event.currentTarget.value)}
              onKeyDown={(event) => event.key === "Enter" && keep(close)}
            />
            <Button onClick={() => keep(close)}>Keep</Button>
          </div>
        </>
      )}
    </Menu>
  );
}
