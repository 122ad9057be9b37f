// Random corrections of the samples' labels, held to Python's editor after every one.
import assert from "node:assert/strict";
import { test } from "node:test";
import { digest, digestLabels, golden, load, readMap } from "./bundle.mjs";

const parts = await load("parts.ts");
const { config, samples } = golden("samples.json");

function perform(editor, { made, notes, journal, error, labels, ...step }) {
  if (step.edit === "undo") return editor.undo();
  if (step.edit === "redo") return editor.redo();
  return editor.make(step);
}

for (const [name, sequences] of Object.entries(golden("edits.json"))) {
  sequences.forEach((sequence, number) => {
    test(`${name}: ${sequence.steps.length} corrections are Python's (${number})`, async () => {
      const map = await readMap(parts, name);
      const { target } = samples[name];
      const found = parts.distanceToLabels(map, config.targets[target].thresholds);
      const { labels } = parts.removeSmall(found, "auto", target);
      const editor = new parts.LabelEditor(labels, sequence.map ? map : null);
      const lines = [];
      sequence.steps.forEach((step, at) => {
        const where = `${at}: ${JSON.stringify(step).slice(0, 300)}`;
        let outcome = null;
        let error;
        try {
          outcome = perform(editor, step);
          if (outcome) lines.push(editor.lastLine);
        } catch (problem) {
          assert.ok(problem instanceof parts.InputError, `${where}: ${problem.stack}`);
          error = problem.message;
        }
        assert.equal(error, step.error, where);
        if (step.made) {
          assert.deepEqual([outcome.ids, outcome.notes], [step.made, step.notes], where);
          assert.equal(digestLabels(editor.labels), step.labels, where);
          assert.equal(digest(editor.lastLine), step.journal, where);
        }
        assert.equal(digestLabels(editor.labels), step.labels, where);
      });
      assert.deepEqual(editor.journal(config.dinocell), [sequence.start, ...lines]);
    });
  });
}
