// A sound from the microphone or a file. Nothing is recorded before the button is pressed; nothing leaves the machine.
import { h, fill } from "./dom.js";
import { draw } from "./media.js";

const LONGEST = 30; // seconds
const RATE = 16000;

/** Any sound that the browser can read, as mono float32 at a rate. */
async function mono(bytes) {
  const decoder = new OfflineAudioContext(1, 1, RATE), held = await decoder.decodeAudioData(bytes), samples = new Float32Array(held.length);
  for (let c = 0; c < held.numberOfChannels; c++) held.getChannelData(c).forEach((v, i) => { samples[i] += v / held.numberOfChannels; });
  return samples;
}

/** microphone(give, refuse) -> {node, show, close}. */
export function microphone(give, refuse) {
  let recorder = null, stream = null, context = null, timer = 0, closed = false;
  const level = h("meter", { min: 0, max: 1, value: 0, "aria-label": "Level" }), heard = h("div"), status = h("span.soft.small", { role: "status" });
  const button = h("button.main", { type: "button", onclick: () => (recorder ? recorder.stop() : record()) }, "Record");
  const file = h("input", { type: "file", accept: ".wav,audio/*", id: "sound-input", onchange: () => { if (file.files[0]) read(file.files[0]); file.value = ""; } });
  file.classList.add("visually-hidden");

  async function record() {
    refuse("");
    try {
      if (!navigator.mediaDevices) throw new Error("none");
      stream = await navigator.mediaDevices.getUserMedia({ audio: true });
    } catch (problem) {
      refuse(problem.name === "NotAllowedError" ? "Expected leave to use the microphone, which was refused. Allow it beside the address, or choose a sound file."
        : "Expected a microphone, found none. Plug one in, or choose a sound file.");
      return;
    }
    if (closed) return end();
    const parts = [];
    recorder = new MediaRecorder(stream);
    recorder.ondataavailable = ({ data }) => parts.push(data);
    recorder.onstop = async () => { end(); if (!closed && parts.length) await take(await new Blob(parts).arrayBuffer(), "recording"); };
    context = new AudioContext();
    const meter = context.createAnalyser(), seen = new Float32Array(meter.fftSize), began = performance.now();
    context.createMediaStreamSource(stream).connect(meter);
    recorder.start();
    button.textContent = "Stop";
    timer = setInterval(() => {
      meter.getFloatTimeDomainData(seen);
      level.value = Math.min(1, seen.reduce((a, v) => Math.max(a, Math.abs(v)), 0));
      const spent = (performance.now() - began) / 1000;
      status.textContent = `${spent.toFixed(0)} s`;
      if (spent > LONGEST) recorder?.stop();
    }, 100);
  }
  function end() {
    clearInterval(timer);
    stream?.getTracks().forEach((track) => track.stop());
    context?.close();
    recorder = stream = context = null;
    button.textContent = "Record";
    level.value = 0;
    status.textContent = "";
  }
  async function take(bytes, name) {
    try { send(await mono(bytes), name); } catch { refuse(`Expected a sound that this browser can read, got ${name}. Save it as WAV.`); }
  }
  const played = (samples, rate) => fill(heard, draw({ kind: "audio", value: { rate_hz: rate } }, { shape: [samples.length], data: samples }));
  function send(samples, name) {
    played(samples, RATE);
    give({ ask: { kind: "audio", rate_hz: RATE }, payload: samples, name });
  }
  async function read(chosen) {
    refuse("");
    if (chosen.size > 32 << 20) return refuse(`Expected a sound of at most 32 MB, got ${Math.round(chosen.size / 2 ** 20)} MB. Cut it.`);
    await take(await chosen.arrayBuffer(), chosen.name);
  }
  const over = (event) => { if ([...event.dataTransfer.items].some((item) => item.kind === "file")) event.preventDefault(); };
  const dropped = (event) => { if (event.dataTransfer.files.length) { event.preventDefault(); read(event.dataTransfer.files[0]); } };
  document.addEventListener("dragover", over);
  document.addEventListener("drop", dropped);
  return {
    node: h("div.stack", h("div.row", button, level, status), h("div.drop", h("label.button", { htmlFor: "sound-input" }, "Choose a sound"), file, h("span.soft.small", "or drop one here; it stays on this machine")), heard),
    show({ ask, payload }) { if (ask?.kind === "audio") played(payload, ask.rate_hz); },
    close() { closed = true; if (recorder) recorder.stop(); end(); document.removeEventListener("dragover", over); document.removeEventListener("drop", dropped); },
  };
}
