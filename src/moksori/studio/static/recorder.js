// The microphone, as it is: no echo cancelling, no noise gate, no coding with losses; mono WAV of 16 bits.

export class Recorder {
  async start(onLength) {
    const wanted = { echoCancellation: false, noiseSuppression: false, autoGainControl: false, channelCount: 1 };
    this.stream = await navigator.mediaDevices.getUserMedia({ audio: wanted });
    this.context = new AudioContext();
    await this.context.audioWorklet.addModule("/static/recorder-worklet.js");
    this.parts = [];
    this.length = 0;
    this.node = new AudioWorkletNode(this.context, "recorder", { numberOfOutputs: 0 });
    this.node.port.onmessage = ({ data }) => {
      this.parts.push(data);
      this.length += data.length;
      onLength(this.length / this.context.sampleRate);
    };
    this.context.createMediaStreamSource(this.stream).connect(this.node);
  }

  /** The recording as a file; null if there is none. */
  async stop() {
    for (const track of this.stream.getTracks()) track.stop();
    const rate = this.context.sampleRate;
    await this.context.close();
    return this.length ? wav(this.parts, this.length, rate) : null;
  }
}

function wav(parts, length, rate) {
  const header = new DataView(new ArrayBuffer(44));
  const text = (at, letters) => { for (let i = 0; i < letters.length; i += 1) header.setUint8(at + i, letters.charCodeAt(i)); };
  text(0, "RIFF"); header.setUint32(4, 36 + 2 * length, true); text(8, "WAVEfmt ");
  header.setUint32(16, 16, true); header.setUint16(20, 1, true); header.setUint16(22, 1, true);
  header.setUint32(24, rate, true); header.setUint32(28, 2 * rate, true); header.setUint16(32, 2, true); header.setUint16(34, 16, true);
  text(36, "data"); header.setUint32(40, 2 * length, true);
  const coded = parts.map((part) => Int16Array.from(part, (sample) => Math.round(Math.min(Math.max(sample, -1), 1) * 32767)));
  return new Blob([header, ...coded], { type: "audio/wav" });
}
