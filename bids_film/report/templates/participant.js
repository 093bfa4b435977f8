"use strict";
// What the page does beyond showing: outlines on and off, a slider over all slices, a 3-D viewer.
// Without scripts the page still shows every figure, table and check.

const HIGH_TO_LOW = 1; // slices are shown as radiologists look at them: both axes run downwards
const PLANES = {
  axial: { axis: 2, across: 0, down: 1, left: "R", right: "L" },
  coronal: { axis: 1, across: 0, down: 2, left: "R", right: "L" },
  sagittal: { axis: 0, across: 1, down: 2, left: "A", right: "P" },
};
const LONGEST_SIDE = 900;

function readJson(id) {
  return JSON.parse(document.getElementById(id).textContent);
}

function loadPicture(uri) {
  return new Promise((resolve, reject) => {
    const picture = new Image();
    picture.onload = () => resolve(picture);
    picture.onerror = () => reject(new Error("a picture of this page cannot be decoded"));
    picture.src = uri;
  });
}

// Take a picture of slices side by side apart into voxels: index x + X * (y + Y * z).
async function unpack(uri, [sizeX, sizeY, sizeZ], columns) {
  const picture = await loadPicture(uri);
  const canvas = document.createElement("canvas");
  canvas.width = picture.width;
  canvas.height = picture.height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(picture, 0, 0);
  const voxels = new Uint8Array(sizeX * sizeY * sizeZ);
  for (let z = 0; z < sizeZ; z += 1) {
    const left = (z % columns) * sizeX;
    const top = Math.floor(z / columns) * sizeY;
    const pixels = context.getImageData(left, top, sizeX, sizeY).data;
    const start = z * sizeX * sizeY;
    for (let i = 0; i < sizeX * sizeY; i += 1) voxels[start + i] = pixels[4 * i];
  }
  return voxels;
}

class Browser {
  constructor(section) {
    this.section = section;
    this.stack = readJson(section.dataset.stack);
    this.canvas = section.querySelector("canvas.slice");
    this.slider = section.querySelector("input[type=range]");
    this.place = section.querySelector(".at");
    this.plane = this.stack.planes[0];
    this.at = {};
    for (const name of this.stack.planes) {
      const [first, end] = this.stack.region[PLANES[name].axis];
      this.at[name] = Math.floor((first + end - 1) / 2);
    }
    section.addEventListener("input", () => this.read());
    section.addEventListener("change", () => this.read());
    section.closest(".scan").addEventListener("structures", () => this.draw());
  }

  async start() {
    const { image, labels, entropy, shape, columns } = this.stack;
    this.image = await unpack(image, shape, columns);
    this.labels = await unpack(labels, shape, columns);
    this.entropy = entropy ? await unpack(entropy, shape, columns) : null;
    this.show();
  }

  read() {
    const chosen = this.section.querySelector("input.plane:checked");
    if (chosen && chosen.value !== this.plane) {
      this.plane = chosen.value;
    } else {
      this.at[this.plane] = Number(this.slider.value);
    }
    this.show();
  }

  show() {
    this.slider.max = this.stack.shape[PLANES[this.plane].axis] - 1;
    this.slider.value = this.at[this.plane];
    this.draw();
  }

  wants(name) {
    const box = this.section.querySelector(`input.${name}`);
    return Boolean(box && box.checked);
  }

  region(axis) {
    return this.wants("zoomed") ? this.stack.region[axis] : [0, this.stack.shape[axis]];
  }

  draw() {
    if (!this.image) return;
    const { axis, across, down, left, right } = PLANES[this.plane];
    const { spacing_mm: spacing, shape } = this.stack;
    const strides = [1, shape[0], shape[0] * shape[1]];
    const [firstColumn, endColumn] = this.region(across);
    const [firstRow, endRow] = this.region(down);
    const width = endColumn - firstColumn;
    const height = endRow - firstRow;
    const origin = this.at[this.plane] * strides[axis];
    const voxel = (column, row) =>
      origin + (endColumn - HIGH_TO_LOW - column) * strides[across]
      + (endRow - HIGH_TO_LOW - row) * strides[down];
    const scale = LONGEST_SIDE / Math.max(width * spacing[across], height * spacing[down]);
    this.canvas.width = Math.round(width * spacing[across] * scale);
    this.canvas.height = Math.round(height * spacing[down] * scale);
    this.paint(width, height, voxel);
    this.outline(width, height, voxel);
    this.tell(axis);
    this.section.querySelector(".side.left").textContent = this.stack.oriented ? left : "";
    this.section.querySelector(".side.right").textContent = this.stack.oriented ? right : "";
  }

  paint(width, height, voxel) {
    const pixels = new ImageData(width, height);
    const heat = this.wants("heat") ? this.entropy : null;
    for (let row = 0, i = 0; row < height; row += 1) {
      for (let column = 0; column < width; column += 1, i += 4) {
        const index = voxel(column, row);
        const gray = this.image[index];
        const share = heat ? (0.9 * heat[index]) / 255 : 0;
        pixels.data[i] = gray + share * (255 - gray);
        pixels.data[i + 1] = gray + share * (176 - gray);
        pixels.data[i + 2] = gray - share * gray;
        pixels.data[i + 3] = 255;
      }
    }
    const small = new OffscreenCanvas(width, height);
    small.getContext("2d").putImageData(pixels, 0, 0);
    const context = this.canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(small, 0, 0, this.canvas.width, this.canvas.height);
  }

  outline(width, height, voxel) {
    if (!this.wants("outlined")) return;
    const context = this.canvas.getContext("2d");
    const stepX = this.canvas.width / width;
    const stepY = this.canvas.height / height;
    this.stack.order.forEach((place) => {
      if (!isShown(this.section, place)) return;
      const parts = this.stack.parts[place];
      const own = new Uint8Array(256);
      for (const part of parts) own[part] = 1;
      const inside = (column, row) =>
        column >= 0 && row >= 0 && column < width && row < height
        && own[this.labels[voxel(column, row)]] === 1;
      context.beginPath();
      for (let row = 0; row <= height; row += 1) {
        for (let column = 0; column <= width; column += 1) {
          const here = inside(column, row);
          if (here !== inside(column - 1, row)) {
            context.moveTo(column * stepX, row * stepY);
            context.lineTo(column * stepX, (row + 1) * stepY);
          }
          if (here !== inside(column, row - 1)) {
            context.moveTo(column * stepX, row * stepY);
            context.lineTo((column + 1) * stepX, row * stepY);
          }
        }
      }
      // Its halo first: a colour may be that of the tissue.
      for (const [color, thickness] of [[this.stack.halos[place], 4], [this.stack.colors[place], 2]]) {
        context.strokeStyle = color;
        context.lineWidth = thickness;
        context.stroke();
      }
    });
  }

  tell(axis) {
    const at = this.at[this.plane] * this.stack.steps[axis];
    const last = this.stack.stored[axis] - 1;
    const stored = this.stack.flips[axis] ? last - at : at;
    const names = this.stack.names.filter((_, place) => isShown(this.section, place));
    this.place.textContent = `${this.plane} ${stored} of 0–${last}`;
    this.slider.setAttribute("aria-valuetext", this.place.textContent);
    this.canvas.setAttribute(
      "aria-label", `${this.plane} slice ${stored}, outlines of ${names.join(", ") || "nothing"}`,
    );
  }
}

function isShown(element, place) {
  const box = element.closest(".scan").querySelector(`input.structure[value="${place}"]`);
  return !box || box.checked;
}

function toggleStructures(scan) {
  for (const box of scan.querySelectorAll("input.structure")) {
    for (const path of scan.querySelectorAll(`path[data-place="${box.value}"]`)) {
      path.style.display = box.checked ? "" : "none";
    }
  }
  scan.dispatchEvent(new Event("structures"));
}

// A NIfTI file in memory, of bytes in RAS+ order.
function makeNifti(voxels, stack) {
  const buffer = new ArrayBuffer(352 + voxels.length);
  const header = new DataView(buffer);
  header.setInt32(0, 348, true);
  [3, ...stack.shape, 1, 1, 1, 1].forEach((size, i) => header.setInt16(40 + 2 * i, size, true));
  header.setInt16(70, 2, true); // uint8
  header.setInt16(72, 8, true);
  [1, ...stack.spacing_mm].forEach((size, i) => header.setFloat32(76 + 4 * i, size, true));
  header.setFloat32(108, 352, true);
  header.setFloat32(112, 1, true);
  header.setUint8(123, 2); // millimetres
  header.setInt16(254, 1, true);
  stack.affine.slice(0, 3).flat().forEach((value, i) => header.setFloat32(280 + 4 * i, value, true));
  [0x6e, 0x2b, 0x31, 0].forEach((letter, i) => header.setUint8(344 + i, letter));
  new Uint8Array(buffer, 352).set(voxels);
  return buffer;
}

let library = null;

function loadViewer() {
  library ??= (async () => {
    const packed = document.getElementById("viewer-library").textContent.trim();
    const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const source = await new Response(stream).blob();
    const script = document.createElement("script");
    script.src = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    await new Promise((resolve, reject) => {
      script.onload = resolve;
      script.onerror = () => reject(new Error("the viewer could not be loaded"));
      document.head.append(script);
    });
    return window.niivue;
  })();
  return library;
}

function labelColors(stack) {
  const rgb = ["#000000", ...stack.colors].map((color) => parseInt(color.slice(1), 16));
  return {
    R: rgb.map((color) => color >> 16),
    G: rgb.map((color) => (color >> 8) & 255),
    B: rgb.map((color) => color & 255),
    A: rgb.map((_, place) => (place ? 255 : 0)),
    I: rgb.map((_, place) => place),
    labels: ["", ...stack.names],
  };
}

async function openViewer(browser, button) {
  const frame = browser.section.querySelector(".viewer");
  const status = frame.querySelector("[role=status]");
  frame.hidden = false;
  button.disabled = true;
  try {
    const probe = document.createElement("canvas");
    if (!probe.getContext("webgl2")) throw new Error("this browser offers no WebGL 2");
    const { Niivue, NVImage } = await loadViewer();
    const viewer = new Niivue({
      logLevel: "error", dragAndDropEnabled: false, show3Dcrosshair: true, isRadiologicalConvention: true,
      sagittalNoseLeft: true, multiplanarShowRender: 1, backColor: [0, 0, 0, 1],
    });
    await viewer.attachToCanvas(frame.querySelector("canvas"));
    const { stack } = browser;
    viewer.addVolume(await NVImage.new(makeNifti(browser.image, stack), "image.nii", "gray"));
    const labels = await NVImage.new(makeNifti(browser.labels, stack), "labels.nii", "gray", 0.5);
    labels.setColormapLabel(labelColors(stack));
    viewer.addVolume(labels);
    viewer.setSliceType(viewer.sliceTypeMultiplanar);
    status.textContent = "Drag to turn and to move the cross; scroll to change the slice.";
    frame.dataset.ready = "true";
  } catch (error) {
    status.textContent = `The 3-D viewer cannot be shown: ${error.message}.`;
  }
}

for (const scan of document.querySelectorAll(".scan")) {
  scan.addEventListener("change", (event) => {
    if (event.target.matches("input.structure")) toggleStructures(scan);
  });
  for (const button of scan.querySelectorAll("button.every")) {
    button.addEventListener("click", () => {
      for (const box of scan.querySelectorAll("input.structure")) box.checked = button.value === "all";
      toggleStructures(scan);
    });
  }
  const section = scan.querySelector(".browse");
  if (!section) continue;
  section.hidden = false;
  const browser = new Browser(section);
  // Voxels are unpacked as the slider comes near: a page of many scans opens at once.
  new IntersectionObserver((entries, observer) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    observer.disconnect();
    browser.start();
  }, { rootMargin: "1500px" }).observe(section);
  const button = section.querySelector("button.open-viewer");
  button.addEventListener("click", async () => {
    if (!browser.image) await browser.start();
    openViewer(browser, button);
  });
}

document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input:not([type=checkbox],[type=radio],[type=range]), textarea");
  if (event.ctrlKey || event.metaKey || event.altKey || typing) return;
  if (event.key !== "o") {
    // Within the group page's preview: its keys work here as well.
    if (window.parent !== window) window.parent.postMessage({ reviewKey: event.key }, "*");
    return;
  }
  for (const box of document.querySelectorAll("input.outlines, input.outlined")) {
    box.checked = !box.checked;
    box.dispatchEvent(new Event("change", { bubbles: true }));
  }
});
