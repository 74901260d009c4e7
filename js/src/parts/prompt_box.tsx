import type { Prompt, Turn } from "../host/document";
import { Button } from "./button";
import { Choice } from "./choice";
import { OWN_KEYS } from "./focus";

interface Props {
  prompt: Prompt;
  /** The model takes chat messages. */
  chat: boolean;
  onChange: (prompt: Prompt) => void;
  onRun: () => void;
}

const ROLES = ["system", "user", "assistant"];

interface BoxProps {
  name: string;
  text: string;
  rows: number;
  onInput: (text: string) => void;
  onRun: () => void;
}

function Box({ name, text, rows, onInput, onRun }: BoxProps) {
  return (
    <textarea
      {...OWN_KEYS}
      rows={rows}
      dir="auto"
      spellcheck={false}
      aria-label={name}
      value={text}
      onInput={(event) => onInput(event.currentTarget.value)}
      onKeyDown={(event) => {
        if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey || event.shiftKey)) return;
        event.preventDefault();
        onRun();
      }}
    />
  );
}

/** What texts begin with: a raw text, or the turns of a chat. */
export function PromptBox({ prompt, chat, onChange, onRun }: Props) {
  const messages = "messages" in prompt ? prompt.messages : null;
  const set = (turns: Turn[]) => onChange({ messages: turns });
  const swap = () =>
    onChange(
      messages
        ? { text: messages.findLast(({ role }) => role === "user")?.content ?? "" }
        : { messages: [{ role: "user", content: "text" in prompt ? prompt.text : "" }] },
    );
  return (
    <div class="sk-prompt">
      <div class="sk-prompt-head">
        <span class="sk-heading">{messages ? "Chat" : "Prompt"}</span>
        {(chat || messages) && (
          <Button class="sk-quiet" onClick={swap}>
            {messages ? "Use raw text" : "Use chat turns"}
          </Button>
        )}
      </div>
      {messages ? (
        <>
          {messages.map(({ role, content }, index) => (
            // Turns have no name but their place.
            <div class="sk-turn" key={index}>
              <Choice
                aria-label={`Role of turn ${index + 1}`}
                value={role}
                options={[...new Set([...ROLES, role])].map((one) => [one, one])}
                onChoose={(one) => set(messages.with(index, { role: one, content }))}
              />
              <Box
                name={`Turn ${index + 1}, ${role}`}
                text={content}
                rows={1}
                onInput={(text) => set(messages.with(index, { role, content: text }))}
                onRun={onRun}
              />
              <Button
                class="sk-quiet"
                aria-label={`Remove turn ${index + 1}`}
                aria-disabled={messages.length === 1}
                onClick={() => messages.length > 1 && set(messages.toSpliced(index, 1))}
              >
                ×
              </Button>
            </div>
          ))}
          <Button
            class="sk-quiet"
            onClick={() => {
              const role = messages.at(-1)?.role === "user" ? "assistant" : "user";
              set([...messages, { role, content: "" }]);
            }}
          >
            Add a turn
          </Button>
        </>
      ) : (
        <Box
          name="Prompt"
          text={"text" in prompt ? prompt.text : ""}
          rows={2}
          onInput={(text) => onChange({ text })}
          onRun={onRun}
        />
      )}
    </div>
  );
}
