// Beats as its input says, and then hangs in the way that its argument names.

import { execSync } from "node:child_process";
import { readFileSync, writeSync } from "node:fs";
import { createServer } from "node:net";

const beats = readFileSync(0, "utf8").trim().split("\n").map((line) => Buffer.from(line, "hex"));

const hangs = {
  // Something is open, so that it does not end.
  idle: () => createServer().listen(0, "127.0.0.1"),
  // The child ends soon after this process.
  child: () => execSync("while kill -0 $PPID; do sleep 1; done", { stdio: "ignore" }),
  spin: () => { for (;;); },
  pattern: () => /^(a+)+$/.test("a".repeat(64) + "b"),
  atomics: () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0),
};

const timer = setInterval(() => {
  // The output is the socket.
  writeSync(1, beats.shift());
  if (beats.length > 0) return;
  clearInterval(timer);
  hangs[process.argv[2]]();
}, Number(process.env.EVERY_MS));
