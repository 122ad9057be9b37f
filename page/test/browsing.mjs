// A browser that walks through the page: what it complains of, what it shows, and whether all can use it.
import { mkdirSync, readFileSync } from "node:fs";
import { chromium } from "playwright-core";

const SHOTS = process.env.SHOTS;
const AXE = readFileSync(new URL("../node_modules/axe-core/axe.min.js", import.meta.url), "utf8");
// The two handles of a range lie over each other; the numbers beside it do the same, and are large enough.
const RULES = JSON.stringify({ rules: [{ id: "target-size", selector: "*:not(.range-track *)" }] });
const TAGS = JSON.stringify(["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]);
const OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"];

export const WIDE = { width: 1280, height: 800 };
export const NARROW = { width: 390, height: 844 };

/** Open a page of an address in Chromium; `options` are those of a context of playwright. */
export async function browse(address, options = {}) {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: OPTIONS });
  const page = await browser.newPage({ viewport: WIDE, acceptDownloads: true, ...options });
  page.setDefaultTimeout(15_000);
  const complaints = listenToComplaints(page, new URL(address).origin);
  await page.addInitScript(() =>
    document.addEventListener("securitypolicyviolation", (event) =>
      console.error(`CSP: ${event.violatedDirective} ${event.blockedURI}`),
    ),
  );
  await page.goto(address);
  const forgiven = [];
  return {
    page,
    complaints: () => complaints.filter((text) => !forgiven.some((pattern) => pattern.test(text))),
    close: () => browser.close(),
    said: (words, selector) => said(page, words, selector),
    shot: (name) => shot(page, name),
    violations: () => violations(page),
    /** Leave out complaints that a test meant to cause, also those that come later than what the page shows of it. */
    forgive: (pattern) => forgiven.push(pattern),
  };
}

/** Return a list that grows with errors of the page, refusals of the server, and requests to any other host. */
function listenToComplaints(page, origin) {
  const complaints = [];
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("response", (response) => {
    if (response.status() >= 400) complaints.push(`${response.status()} ${response.url()}`);
  });
  page.context().on("request", (request) => {
    const url = request.url();
    const isOwn = new URL(url).origin === origin || /^(blob|data):/.test(url);
    if (!isOwn) complaints.push(`request to another host: ${url}`);
  });
  page.on("websocket", (socket) => complaints.push(`socket: ${socket.url()}`));
  return complaints;
}

/** Save a picture, where there is a folder for pictures. */
async function shot(page, name) {
  if (!SHOTS) return;
  mkdirSync(SHOTS, { recursive: true });
  await page.screenshot({ path: `${SHOTS}/${name}.png` });
}

/** Wait until a line of the page has words. */
async function said(page, words, selector = ".notice") {
  await page.waitForFunction(
    ([where, what]) => new RegExp(what).test(document.querySelector(where)?.textContent ?? ""),
    [selector, words],
  );
}

/** Violations of accessibility; axe is run in a world of its own, so that the policy of the page holds. */
async function violations(page) {
  const session = await page.context().newCDPSession(page);
  const { frameTree } = await session.send("Page.getFrameTree");
  const { executionContextId: contextId } = await session.send("Page.createIsolatedWorld", {
    frameId: frameTree.frame.id,
  });
  await session.send("Runtime.evaluate", { contextId, expression: AXE });
  const expression = `axe.run({ runOnly: ${TAGS} }).then(({ violations }) => violations.map(({ id, nodes }) => id + ": " + nodes.map(({ target, failureSummary }) => target + " " + failureSummary).join("; ")))`;
  const { result } = await session.send("Runtime.evaluate", {
    contextId,
    expression: `axe.configure(${RULES}); ${expression}`,
    awaitPromise: true,
    returnByValue: true,
  });
  await session.detach();
  return result.value;
}

/** Show all of an image, and return the place on the screen of one of its points [row, column]. */
export async function placeOn(page, { width, height }, [row, column]) {
  await page.keyboard.press("0");
  const frame = await page.locator("#picture").boundingBox();
  const margin = Math.min(24, frame.width / 20);
  const scale = Math.min((frame.width - 2 * margin) / width, (frame.height - 2 * margin) / height);
  return [
    frame.x + frame.width / 2 + (column - width / 2) * scale,
    frame.y + frame.height / 2 + (row - height / 2) * scale,
  ];
}

/** Draw from one place on the screen to another. */
export async function drag(page, from, to) {
  await page.mouse.move(...from);
  await page.mouse.down();
  await page.mouse.move(from[0] + 4, from[1] + 9, { steps: 2 });
  await page.mouse.move(...to, { steps: 4 });
  await page.mouse.up();
}
