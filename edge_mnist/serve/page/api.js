// Renders this server's /openapi.json.
const $ = (id) => document.getElementById(id);

function element(name, text = "", children = []) {
  const made = document.createElement(name);
  made.textContent = text;
  made.append(...children);
  return made;
}

function folded(title, children) {
  return element("details", "", [element("summary", "", title), ...children]);
}

function entry(path, verb, operation) {
  const mark = element("span", verb.toUpperCase());
  mark.className = "verb";
  const parameters = (operation.parameters ?? []).flatMap((one) => [
    element("dt", `${one.name} (${one.in})`),
    element("dd", one.description),
  ]);
  const body = operation.requestBody;
  const children = [element("dl", "", parameters)];
  if (body?.description) children.push(element("p", body.description));
  if (body) children.push(element("pre", JSON.stringify(body.content, null, 1)));
  children.push(element("pre", JSON.stringify(operation.responses["200"], null, 1)));
  return folded([mark, `${path} – ${operation.summary}`], children);
}

const { info, paths, components } = await (await fetch("openapi.json")).json();
$("about").textContent = `${info.title} ${info.version}. ${info.description}`;
$("try").textContent = [
  `curl --data-binary @digit.png -H 'Content-Type: image/png' ${location.origin}/v1/predict`,
  "# if the server has a token, add: -H 'Authorization: Bearer TOKEN'",
].join("\n");
$("paths").replaceChildren(
  ...Object.entries(paths).flatMap(([path, verbs]) =>
    Object.entries(verbs).map(([verb, operation]) => entry(path, verb, operation)),
  ),
);
$("schemas").replaceChildren(
  ...Object.entries(components.schemas).map(([name, schema]) =>
    folded([name], [element("pre", JSON.stringify(schema, null, 1))]),
  ),
);
