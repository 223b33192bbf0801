// Hands on what the microphone gives, a quarter of a second at a time.

class RecorderProcessor extends AudioWorkletProcessor {
  constructor() {
    super();
    this.buffer = new Float32Array(Math.ceil(sampleRate / 4 / 128) * 128);
    this.filled = 0;
  }

  process([input]) {
    if (!input.length) return true;
    this.buffer.set(input[0], this.filled);
    this.filled += input[0].length;
    if (this.filled >= this.buffer.length) {
      this.port.postMessage(this.buffer.slice(0, this.filled));
      this.filled = 0;
    }
    return true;
  }
}
registerProcessor("recorder", RecorderProcessor);
