// A browser starts no worker for a page that is a file: the search then runs in a frame of its own.
if (location.protocol === "file:") {
  window.IFrameWorker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = Object.assign(document.createElement("iframe"), { hidden: true, srcdoc: "<html>" });
      this.ready = new Promise((resolve) => {
        frame.onload = () => {
          const inside = frame.contentWindow;
          const load = (src) =>
            new Promise((done) => {
              const script = inside.document.createElement("script");
              script.onload = done;
              script.src = src;
              inside.document.body.append(script);
            });
          inside.IFrameWorker = window.IFrameWorker;
          inside.importScripts = (...urls) =>
            urls.reduce((before, src) => before.then(() => load(src)), Promise.resolve());
          inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
          load(new URL(url, location.href).href).then(() => resolve(inside));
        };
      });
      document.body.append(frame);
    }
    postMessage(data) {
      this.ready.then((inside) => inside.dispatchEvent(new inside.MessageEvent("message", { data })));
    }
    terminate() {}
  };
  window.Worker = window.IFrameWorker;
}
