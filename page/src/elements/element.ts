/** Elements of the page, made in one call. */

type Events = { [Name in keyof HTMLElementEventMap]?: (event: HTMLElementEventMap[Name]) => void };

export interface Properties {
  class?: string;
  id?: string;
  text?: string;
  title?: string;
  attributes?: Record<string, string>;
  on?: Events;
}

/** Return a new element with what is in it. Text is never read as HTML. */
export function element<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  properties: Properties = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[Tag] {
  const made = document.createElement(tag);
  if (properties.class) made.className = properties.class;
  if (properties.id) made.id = properties.id;
  if (properties.text !== undefined) made.textContent = properties.text;
  if (properties.title) made.title = properties.title;
  for (const [name, value] of Object.entries(properties.attributes ?? {})) made.setAttribute(name, value);
  for (const [name, listener] of Object.entries(properties.on ?? {})) {
    made.addEventListener(name, listener as EventListener);
  }
  made.append(...children);
  return made;
}

/** Return a new element of SVG. */
export function drawn<Tag extends keyof SVGElementTagNameMap>(
  tag: Tag,
  attributes: Record<string, string | number> = {},
  ...children: Node[]
): SVGElementTagNameMap[Tag] {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  made.append(...children);
  return made;
}

/** Return a button. */
export function button(text: string, onClick: () => void, properties: Properties = {}): HTMLButtonElement {
  const made = element("button", { ...properties, text, on: { ...properties.on, click: onClick } });
  made.type = "button";
  return made;
}

/** Return a list to choose from, of values and texts. */
export function choice(
  options: readonly (readonly [string, string])[],
  onChange: (value: string) => void,
  properties: Properties = {},
): HTMLSelectElement {
  const made = element("select", properties);
  fillChoice(made, options);
  made.addEventListener("change", () => onChange(made.value));
  return made;
}

/** Replace what can be chosen, and keep what is chosen where it is still there. */
export function fillChoice(select: HTMLSelectElement, options: readonly (readonly [string, string])[]): void {
  const chosen = select.value;
  select.replaceChildren(...options.map(([value, text]) => element("option", { text, attributes: { value } })));
  if (options.some(([value]) => value === chosen)) select.value = chosen;
}

let count = 0;

/** Return a field with its label before it. */
export function field(label: string, control: HTMLElement, hint = ""): HTMLElement {
  control.id ||= `field-${++count}`;
  const name = element("label", { text: label, attributes: { for: control.id } });
  if (hint) {
    const words = element("p", { class: "hint", text: hint, id: `${control.id}-hint` });
    control.setAttribute("aria-describedby", words.id);
    return element("div", { class: "field" }, name, control, words);
  }
  return element("div", { class: "field" }, name, control);
}

/** Return a part of a panel with its heading. */
export function section(title: string, ...children: (Node | string)[]): HTMLElement {
  const heading = element("h2", { text: title, id: `heading-${++count}` });
  return element("section", { class: "part", attributes: { "aria-labelledby": heading.id } }, heading, ...children);
}
