"use strict";
// Decisions by scan: kept in this browser, exported, and read from a file again.

const STORE = `bids-film review: ${content.store || location.pathname}`;

const review = {
  decisions: {},
  kept: true,
  load() {
    try {
      this.decisions = JSON.parse(localStorage.getItem(STORE) ?? "{}");
    } catch {
      this.kept = false;
    }
    for (const row of rows) Object.assign(row, this.decisions[get(row, "scan")] ?? {});
  },
  save(changed) {
    const date = new Date().toISOString().slice(0, 19);
    for (const { decision, note, ...row } of changed) {
      const scan = get(row, "scan");
      if (decision || note) this.decisions[scan] = { decision, note, date };
      else delete this.decisions[scan];
    }
    try {
      localStorage.setItem(STORE, JSON.stringify(this.decisions));
    } catch {
      this.kept = false;
    }
    this.tell();
  },
  list() {
    return Object.entries(this.decisions).map(([scan, entry]) => ({ scan, ...entry }));
  },
  tell() {
    const made = Object.values(this.decisions).map((entry) => entry.decision);
    const count = (decision) => made.filter((one) => one === decision).length;
    byId("tally").textContent = `${count("accept")} accepted, ${count("reject")} rejected`
      + (this.kept ? "" : ". This browser keeps nothing: export before you close the page");
  },
};

function download(name, text, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function exportTsv() {
  const plain = (text) => String(text || "n/a").replace(/\s+/g, " ").trim() || "n/a";
  const lines = review.list().map((line) =>
    [line.scan, line.decision || "undecided", line.note, line.date].map(plain).join("\t"));
  download("review.tsv", `${["scan\tdecision\tnote\tdate", ...lines].join("\n")}\n`, "text/tab-separated-values");
}

function readDecisions(text, name) {
  if (name.endsWith(".json")) return JSON.parse(text);
  const [header, ...lines] = text.split(/\r?\n/).filter(Boolean).map((line) => line.split("\t"));
  return lines.map((cells) => Object.fromEntries(header.map((key, place) => [key, cells[place]])));
}

async function importDecisions(file) {
  try {
    const found = new Map(readDecisions(await file.text(), file.name).map((line) => [line.scan, line]));
    const changed = rows.filter((row) => found.has(get(row, "scan")));
    for (const row of changed) {
      const { decision, note } = found.get(get(row, "scan"));
      row.decision = ["accept", "reject"].includes(decision) ? decision : "";
      row.note = note && note !== "n/a" ? String(note) : "";
    }
    review.save(changed);
    table.updateData(changed.map(({ id, decision, note }) => ({ id, decision, note })));
  } catch (error) {
    byId("tally").textContent = `${file.name} cannot be read: ${error.message}`;
  }
}
