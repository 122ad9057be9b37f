// A browser that reaches one server and nothing else.
import { chromium } from "playwright-core";

const PATH = process.env.CHROMIUM ?? "/usr/bin/chromium";
const OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"];

/** Open a page of a server, run `work` with it, and return what it returns; raises for requests elsewhere. */
export async function withPage(server, path, work) {
  const browser = await chromium.launch({ executablePath: PATH, args: OPTIONS });
  const elsewhere = [];
  const problems = [];
  try {
    const context = await browser.newContext();
    await context.route("**/*", (route) => {
      const url = route.request().url();
      if (url.startsWith(server) || url.startsWith("blob:") || url.startsWith("data:")) return route.continue();
      elsewhere.push(url);
      return route.abort();
    });
    const page = await context.newPage();
    page.on("pageerror", (error) => problems.push(String(error)));
    page.on("console", (message) => {
      if (message.type() === "error") problems.push(message.text());
    });
    await page.goto(`${server}/${path}`);
    const found = await work(page);
    if (elsewhere.length) throw new Error(`requests to other hosts: ${elsewhere.join(", ")}`);
    if (problems.length) throw new Error(`problems in the page: ${problems.join("; ")}`);
    return found;
  } finally {
    await browser.close();
  }
}
