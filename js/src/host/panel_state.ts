import type { AnyModel } from "@anywidget/types";
import type { EditRow, PanelDocument, Target } from "./document";

/** Each edit's coefficient at one token, by the edit's name; null where it is not a finite number. */
export type Row = Record<string, number | null>;

/** Why a text is no longer: by steerkit's words. */
export type Stopped = "end" | "length" | "cancelled" | "condition" | "overflow";

/** A token that might have stood at a place, and its probability under both models. */
export type Alternative = [token: string, steered: number, baseline: number];

export interface TokenMeasures {
  /** KL(steered ‖ baseline) in nats. */
  kl: number | null;
  alternatives: Alternative[];
}

/** What was measured of one steered text; pairs are of the steered text and of the baseline. */
export interface Measures {
  /** Null where other edits were in force. */
  tokens: (TokenMeasures | null)[];
  /** A token, under the unsteered model. */
  nats: [number | null, number | null];
  /** Share of 4-grams that were there before. */
  repetition: [number | null, number | null];
}

/** The texts of one seed. */
export interface Sample {
  baseline: string[];
  steered: string[];
  coefficients: Row[];
  stopped: Stopped;
  measures: Measures | null;
}

/** The last finished texts, which survive a reload and an export. Python writes them. */
export interface Texts {
  /** Names their run. */
  rid: string;
  document: PanelDocument;
  samples: Sample[];
  seconds: number;
  /** What each edit did, in words. */
  described: string[];
}

export interface Preset {
  name: string;
  edits: EditRow[];
  preserve_norm: boolean;
}

export interface PanelState {
  _protocol: number;
  _about: string;
  /** Whether the model takes chat messages. */
  _chat: boolean;
  _document: PanelDocument;
  /** What Reset goes back to. */
  _start: PanelDocument;
  _presets: Preset[];
  /** How what is steered is shown, by its name in messages. */
  _targets: Record<string, Target>;
  _texts: Texts | null;
}

export type PanelModel = AnyModel<PanelState>;
