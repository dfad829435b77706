// Runs a Ruby script in a Ruby for WebAssembly: node wasm.mjs PACKAGE SCRIPT
//
// Files are in memory, because Node's own WASI crashes after some thousand calls.
import fs from "node:fs";
import { createRequire } from "node:module";

const [dir, script] = process.argv.slice(2);
const require = createRequire(dir + "/");
const { WASI, File, OpenFile, ConsoleStdout } = await import(require.resolve("@bjorn3/browser_wasi_shim"));
console.warn = () => {}; // the package warns that this file moves in its next version
const { RubyVM } = require(dir + "/dist/index.umd.js");

const stdin = new OpenFile(new File(fs.readFileSync(0)));
const write = (fd) => new ConsoleStdout((bytes) => fs.writeSync(fd, bytes));
const wasip1 = new WASI(["ruby"], [], [stdin, write(1), write(2)], { debug: false });
const module = await WebAssembly.compile(fs.readFileSync(dir + "/dist/ruby+stdlib.wasm"));
const { vm } = await RubyVM.instantiateModule({ module, wasip1 });
vm.eval(fs.readFileSync(script, "utf8") + "\n$stdout.flush");
