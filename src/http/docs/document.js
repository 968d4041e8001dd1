const METHODS = ['get', 'post', 'put', 'patch', 'delete', 'head', 'options', 'trace'];

export const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);
const object = (value) => (isObject(value) ? value : {});
const list = (value) => (Array.isArray(value) ? value : []);
const string = (value) => (typeof value === 'string' ? value : '');

/** The names of those schemas that have one. */
const names = new WeakMap();
export const nameOf = (schema) => names.get(schema);

/**
 * An OpenAPI 3.1 document as this page shows it; whatever is missing is empty. Local `$ref`s are replaced in place
 * by what they name, so `root` is a graph afterwards.
 */
export function readDocument(root) {
  const schemas = Object.entries(object(object(root.components).schemas)).filter(([, schema]) => isObject(schema));
  for (const [name, schema] of schemas) names.set(schema, name);
  link(root, root, new Set());
  const operations = Object.entries(object(root.paths)).flatMap(([path, item]) =>
    METHODS.filter((method) => isObject(object(item)[method])).map((method) => readOperation(root, path, item, method)),
  );
  const described = new Map(list(root.tags).map((tag) => [string(object(tag).name), string(object(tag).description)]));
  const tags = new Set([...described.keys(), ...operations.map((operation) => operation.tag)]);
  return {
    operations,
    tags: [...tags]
      .map((name) => ({
        name,
        description: described.get(name) ?? '',
        operations: operations.filter((operation) => operation.tag === name),
      }))
      .filter((tag) => tag.operations.length > 0),
    schemas,
  };
}

function link(node, root, seen) {
  if (typeof node !== 'object' || node === null || seen.has(node)) return;
  seen.add(node);
  for (const [key, child] of Object.entries(node)) {
    if (typeof object(child).$ref === 'string') node[key] = follow(child, root);
    link(node[key], root, seen);
  }
}

function follow(node, root) {
  for (let hops = 0; hops < 8 && typeof object(node).$ref === 'string'; hops++) {
    const { $ref, ...besides } = node;
    const keys = $ref.split('/').slice(1).map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'));
    const target = object(keys.reduce((at, key) => (Object.hasOwn(object(at), key) ? at[key] : undefined), root));
    node = Object.keys(besides).length > 0 ? { ...target, ...besides } : target;
    if (names.has(target)) names.set(node, names.get(target));
  }
  return node;
}

function readOperation(root, path, item, method) {
  const operation = item[method];
  const id = string(operation.operationId) || `${method}${path.replace(/\W+/g, '-')}`;
  const body = object(operation.requestBody);
  const schema = object(object(body.content)['application/json']).schema;
  const answers = Object.entries(object(operation.responses)).map(([status, response]) => readAnswer(status, response));
  return {
    id,
    method: method.toUpperCase(),
    path,
    summary: string(operation.summary) || id,
    description: string(operation.description),
    tag: string(list(operation.tags)[0]) || 'Other',
    secured: list(operation.security ?? root.security).some((scheme) => Object.keys(object(scheme)).length > 0),
    role: string(operation['x-role']),
    limits: list(operation['x-rate-limits']).map(string),
    parameters: [...list(item.parameters), ...list(operation.parameters)]
      .filter((parameter) => ['path', 'query'].includes(object(parameter).in))
      .map((parameter) => ({
        name: string(parameter.name),
        where: parameter.in,
        required: parameter.required === true,
        schema: { description: string(parameter.description), ...object(parameter.schema) },
      })),
    body: isObject(schema) ? schema : undefined,
    successes: answers.filter((answer) => !isRefusal(answer)),
    refusals: answers.filter(isRefusal).flatMap(refusalsIn),
  };
}

const isRefusal = ({ status }) => /^[45]/.test(status) || status === 'default';

function readAnswer(status, response) {
  const [type = '', media] = Object.entries(object(object(response).content))[0] ?? [];
  const named = Object.entries(object(object(media).examples));
  const examples = named.map(([name, example]) => [name, object(example).value]);
  const codes = list(object(response)['x-codes'] ?? object(media)['x-codes']).map(string);
  if (object(media).example !== undefined) examples.unshift(['', media.example]);
  return { status, description: string(object(response).description), type, schema: media?.schema, examples, codes };
}

/** One refusal a code, in words: the example's own sentence where there is one. */
function refusalsIn({ status, description, examples, codes }) {
  const byCode = new Map(examples);
  const all = codes.length > 0 ? codes : examples.map(([name]) => name);
  return (all.length > 0 ? all : ['']).map((code) => {
    const example = byCode.get(code);
    return { status, code, detail: string(object(example).detail) || description, example };
  });
}
