/*
 * Clocks that make a process look old: while the change is loaded, its modules are told a time long past.
 *
 * Part of `execute.cjs`. Once tests run, all clocks show the real time, so they agree with those of files and of other
 * processes; those that count from the start of the process say that it began long ago. What tests read is always real.
 */
'use strict';

const RealDate = Date;
const real = {
  now: Date.now.bind(Date), fine: performance.now.bind(performance), up: process.uptime.bind(process),
  high: process.hrtime.bind(process), highest: process.hrtime.bigint.bind(process.hrtime), origin: performance.timeOrigin,
  used: process.cpuUsage.bind(process), resources: process.resourceUsage.bind(process), mark: performance.mark?.bind(performance),
  measure: performance.measure?.bind(performance), busy: performance.eventLoopUtilization?.bind(performance),
};
const BODY = /^\s*at (?:Object\.<anonymous> \(|(?:async )?file:)/;
const OF_TESTS = /\/(?:tests?|__tests__|specs?)\/|[._-](?:test|spec)\.\w+:/;
const age = order.shift;
const places = new Set();
const entry = require('node:path').resolve(order.root, order.entry);
let isLoading = age > 0;
let later = 0;
const SHORTEST = 1000;  // milliseconds of a timer that may wait for the first tests to be over
const timers = [];

/* Seconds to tell a caller less: none but to modules of the project, while they are loaded. */
function back() {
  if (!isLoading) return 0;
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 200;
  const lines = String(new Error('').stack).split('\n');
  Error.stackTraceLimit = limit;
  const body = lines.find((line) => BODY.test(line) && !line.includes(entry)) ?? '';
  const isOwn = body.includes(`${order.root}/`) && !body.includes('/node_modules/') && !OF_TESTS.test(body);
  return isOwn && ![...places].some((one) => body.includes(one)) ? -age : 0;
}

/* Seconds since the process began that it has not really been there. */
const since = () => age + later + back();
const now = () => real.now() + back() * 1000;

RealDate.now = now;
globalThis.Date = new Proxy(RealDate, {
  apply: () => new RealDate(now()).toString(),
  construct: (target, words, kind) => Reflect.construct(target, words.length ? words : [now()], kind),
});
RealDate.prototype.constructor = globalThis.Date;
performance.now = () => real.fine() + since() * 1000;
Object.defineProperty(performance, 'timeOrigin', { get: () => real.origin - (age + later) * 1000, configurable: true });
const timing = performance.nodeTiming;
const lasted = Object.getOwnPropertyDescriptor(timing, 'duration') ?? {};
if (lasted.configurable && lasted.get) {
  Object.defineProperty(timing, 'duration', { ...lasted, get: () => lasted.get.call(timing) + since() * 1000 });
}
process.uptime = () => real.up() + since();
process.hrtime = Object.assign((before) => {
  const [seconds, rest] = real.high();
  if (!before) return [seconds + since(), rest];
  const passed = (seconds + since() - before[0]) * 1e9 + rest - before[1];
  return [Math.floor(passed / 1e9), passed % 1e9];
}, { bigint: () => real.highest() + BigInt(since()) * 1000000000n });
process.cpuUsage = (before) => {
  const { user, system } = real.used();
  const used = isLoading ? 0 : age * 1000;
  return { user: user + used - (before?.user ?? 0), system: system - (before?.system ?? 0) };
};
process.resourceUsage = () => {
  const all = real.resources();
  return { ...all, userCPUTime: all.userCPUTime + (isLoading ? 0 : age * 1000) };
};

/* Timers that modules of the project start while they are loaded, which are over in a process that is old. */
for (const name of ['setTimeout', 'setInterval']) {
  const start = globalThis[name];
  const started = (run, delay, ...words) => {
    const timer = start(run, delay, ...words);
    if (delay >= SHORTEST && delay <= age * 1000 && back()) timers.push([timer, name, () => run(...words)]);
    return timer;
  };
  globalThis[name] = Object.defineProperties(started, Object.getOwnPropertyDescriptors(start));
}

/* Marks and measures are told by the clock that `performance.now` shows. */
if (real.mark && real.measure) {
  performance.mark = (name, options = {}) => real.mark(name, { startTime: performance.now(), ...options });
  performance.measure = (name, from, to) => {
    const given = typeof from === 'object' && from !== null ? from : { start: from, end: to };
    const isOpen = given.end === undefined && given.duration === undefined;
    const about = { start: given.start ?? (given.duration === undefined ? 0 : undefined), ...(isOpen ? { end: performance.now() } : {}) };
    const told = Object.entries({ ...given, ...about }).filter(([, value]) => value !== undefined);
    return real.measure(name, Object.fromEntries(told));
  };
}
/* The longest part of the age was spent waiting. */
if (real.busy) {
  const busy = () => {
    const { idle, active } = real.busy();
    const all = idle + (isLoading ? 0 : age * 1000);
    return { idle: all, active, utilization: active / (all + active) || 0 };
  };
  performance.eventLoopUtilization = (one, other) => {
    if (!one || other) return one ? real.busy(one, other) : busy();
    const now = busy();
    const [idle, active] = [now.idle - one.idle, now.active - one.active];
    return { idle, active, utilization: active / (idle + active) || 0 };
  };
}

module.exports = {
  real,
  places,
  /* Makes the process old: what was loaded before lies long in the past. */
  grow() {
    isLoading = false;
    for (const [timer, name, run] of timers.filter(([pending]) => !pending._destroyed)) {
      if (name === 'setTimeout') clearTimeout(timer);
      try { run(); } catch (error) { process.emitWarning(error); }
    }
  },
  /* Moves the clocks on that nothing outside of the process knows. */
  passOn() { later += age; },
};
