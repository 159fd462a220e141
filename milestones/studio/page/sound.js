// A sound: its waveform and spectrogram over the same seconds, and a player. What is drawn in seconds below it
// (class "timed") has the same gutter, and a line moves over all of them while it plays.
import { h, token } from "./dom.js";
import { shade } from "./media.js";

/** A WAV file of float32 samples. */
export function wav(samples, rate) {
  const bytes = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const text = (at, s) => [...s].forEach((c, i) => bytes.setUint8(at + i, c.charCodeAt(0)));
  text(0, "RIFF"); bytes.setUint32(4, 36 + 2 * samples.length, true); text(8, "WAVEfmt "); bytes.setUint32(16, 16, true);
  bytes.setUint16(20, 1, true); bytes.setUint16(22, 1, true); bytes.setUint32(24, rate, true); bytes.setUint32(28, 2 * rate, true);
  bytes.setUint16(32, 2, true); bytes.setUint16(34, 16, true); text(36, "data"); bytes.setUint32(40, 2 * samples.length, true);
  samples.forEach((v, i) => bytes.setInt16(44 + 2 * i, Math.round(32767 * Math.max(-1, Math.min(1, v))), true));
  return new Blob([bytes.buffer], { type: "audio/wav" });
}

/** The squared magnitudes of a real signal of 2^k values: its first half, by the Fourier transform of Cooley and Tukey. */
export function power(signal) {
  const n = signal.length, re = Float64Array.from(signal), im = new Float64Array(n);
  for (let i = 1, j = 0; i < n; i++) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) [re[i], re[j]] = [re[j], re[i]];
  }
  for (let size = 2; size <= n; size <<= 1) {
    const half = size >> 1, turn = -2 * Math.PI / size;
    for (let k = 0; k < half; k++) {
      const c = Math.cos(turn * k), s = Math.sin(turn * k);
      for (let a = k; a < n; a += size) {
        const b = a + half, x = re[b] * c - im[b] * s, y = re[b] * s + im[b] * c;
        re[b] = re[a] - x; im[b] = im[a] - y; re[a] += x; im[a] += y;
      }
    }
  }
  return Float64Array.from({ length: n / 2 }, (_, i) => re[i] * re[i] + im[i] * im[i]);
}

/** Waveform, spectrogram and player of samples {data} at a rate. */
export function sound(value, { data }) {
  const rate = value.rate_hz, seconds = data.length / rate, wave = h("canvas", { width: 800, height: 110, role: "img", "aria-label": `waveform of ${seconds.toFixed(2)} seconds` });
  const spectrum = h("canvas", { role: "img", "aria-label": `spectrogram, 0 to ${rate / 2} hertz` });
  const address = URL.createObjectURL(wav(data, rate)), player = h("audio", { controls: true, src: address, "aria-label": "the sound" });
  const lane = (label, canvas) => h("div.timed", h("span.soft.small", label), h("div.lane", canvas, h("i.now", { hidden: true })));
  const node = h("div.sound", lane("level", wave), lane("hertz", spectrum), h("div.timed", h("span.soft.small.num", `${seconds.toFixed(2)} s`), player));
  function paint() {
    const pen = wave.getContext("2d"), width = wave.width, middle = wave.height / 2;
    pen.clearRect(0, 0, width, wave.height);
    pen.fillStyle = token("--s1");
    for (let x = 0; x < width; x++) {
      let low = 1, high = -1;
      for (let i = Math.floor(x * data.length / width), end = Math.max(i + 1, Math.floor((x + 1) * data.length / width)); i < end; i++) { low = Math.min(low, data[i]); high = Math.max(high, data[i]); }
      pen.fillRect(x, middle - high * middle, 1, Math.max(1, (high - low) * middle));
    }
    const size = 2 ** Math.max(6, Math.min(11, Math.round(Math.log2(.03 * rate)))), across = Math.min(600, Math.max(1, Math.floor(data.length / 32)));
    const window = Float64Array.from({ length: size }, (_, i) => .5 - .5 * Math.cos(2 * Math.PI * i / size)), loudness = [];
    for (let x = 0; x < across; x++) {
      const start = Math.round((x + .5) * data.length / across - size / 2);
      loudness.push(power(window.map((w, i) => w * (data[start + i] || 0))));
    }
    const top = loudness.reduce((a, line) => line.reduce((b, v) => Math.max(b, v), a), 1e-12);
    Object.assign(spectrum, { width: across, height: size / 2 });
    const pixels = new ImageData(across, size / 2), shades = Array.from({ length: 65 }, (_, k) => shade(k / 64));
    loudness.forEach((line, x) => line.forEach((v, y) => pixels.data.set([...shades[Math.round(64 * Math.max(0, 1 + 10 * Math.log10(v / top + 1e-12) / 70))], 255], 4 * ((size / 2 - 1 - y) * across + x))));
    spectrum.getContext("2d").putImageData(pixels, 0, 0);
  }
  paint();
  const dark = new MutationObserver(() => (node.isConnected ? paint() : dark.disconnect()));
  dark.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  const move = () => {
    const scope = node.closest(".stack, main") || node;
    for (const line of scope.querySelectorAll(".timed .now")) { line.hidden = false; line.style.left = `${100 * player.currentTime / seconds}%`; }
    if (!player.paused && node.isConnected) requestAnimationFrame(move);
  };
  player.addEventListener("play", move);
  player.addEventListener("seeked", move);
  player.addEventListener("loadeddata", () => URL.revokeObjectURL(address), { once: true });
  return node;
}
