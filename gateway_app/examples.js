// The document's examples are always the same; here they are filled in from the shop, when somebody tries an operation
// out, so that each can be executed as it stands. A shop that has no such row yet keeps what the document says.
(() => {
  "use strict";

  const PATIENCE = 3000; // milliseconds

  async function rows(path) {
    try {
      const answer = await fetch(path, { signal: AbortSignal.timeout(PATIENCE) });
      return answer.ok ? (await answer.json()).items : [];
    } catch {
      return []; // the page is of use without examples, too
    }
  }

  // The row whose status is the earliest of these, and among several the first.
  function best(found, ...statuses) {
    const rank = (row) => statuses.indexOf(row.status);
    return found.filter((row) => rank(row) >= 0).sort((one, other) => rank(one) - rank(other))[0];
  }

  const orders = () => rows("/orders?limit=50");
  const customers = () => rows("/customers?limit=1");
  const deliveries = () => rows("/deliveries?limit=50");
  const inStock = async () => {
    const found = await rows("/products?status=active&limit=100");
    return found.find((row) => row.stock_quantity >= 10) ?? found[0];
  };
  const any = async (found) => (await found)[0];
  const newName = () => Math.random().toString(36).slice(2, 7);

  // What a parcel becomes next. Those that are on their way come first: what can still be cancelled is left to others.
  const toMove = { "In Transit": "Delivered", "Delivery Failed": "In Transit", "Pending Shipment": "In Transit", Delivered: "Delivered" };
  const toReport = { IN_TRANSIT: "DELIVERED", FAILED: "IN_TRANSIT", PENDING: "IN_TRANSIT", DELIVERED: "DELIVERED" };
  const toCancel = ["Pending Shipment", "Pending", "Delivery Failed", "Cancelling", "Cancelled"];

  // By operation: what fits it now, as {parameters, body}. `body` changes the one of the document.
  const FITTING = {
    async place_order() {
      const [customer, product] = [await any(customers()), await inStock()];
      const line = product && { product_id: product.id, quantity: 1, price: product.price };
      return {
        body: (example) => ({
          customer_id: customer?.id ?? example.customer_id,
          items: line ? [line] : example.items,
          delivery_address: customer?.address ?? example.delivery_address,
        }),
      };
    },
    async show_order() {
      return { order_id: (await any(orders()))?.id };
    },
    async show_events() {
      return { order_id: (await any(orders()))?.id };
    },
    async change_status() {
      const order = best((await orders()).reverse(), ...Object.keys(toMove));
      return { order_id: order?.id, body: (example) => ({ ...example, status: toMove[order?.status] ?? example.status }) };
    },
    async cancel_order() {
      return { order_id: best(await orders(), ...toCancel)?.id };
    },
    async register_customer() {
      return { body: (example) => ({ ...example, email: example.email.replace("@", `.${newName()}@`) }) };
    },
    async show_customer() {
      return { customer_id: (await any(customers()))?.id };
    },
    async create_product() {
      return { body: (example) => ({ ...example, sku: `${example.sku}-${newName().toUpperCase()}` }) };
    },
    async show_product() {
      return { product_id: (await inStock())?.id };
    },
    async change_product() {
      const product = await inStock();
      const now = product && (({ name, description, price, status }) => ({ name, description, price, status }))(product);
      return { product_id: product?.id, body: (example) => now ?? example };
    },
    async adjust_stock() {
      return { product_id: (await inStock())?.id };
    },
    async list_movements() {
      return { product_id: (await inStock())?.id };
    },
    async check_availability() {
      const product = await inStock();
      return { body: (example) => (product ? { items: [{ product_id: product.id, quantity: 2 }] } : example) };
    },
    async show_delivery() {
      return { delivery_id: (await any(deliveries()))?.id };
    },
    async show_log() {
      return { delivery_id: (await any(deliveries()))?.id };
    },
    async show_delivery_of_order() {
      return { order_id: (await any(deliveries()))?.order_id };
    },
    async move_delivery() {
      const delivery = best((await deliveries()).reverse(), ...Object.keys(toReport));
      return {
        delivery_id: delivery?.id,
        body: (example) => ({
          ...example,
          status: toReport[delivery?.status] ?? example.status,
          occurred_at: new Date().toISOString(),
          event_id: `${example.event_id}-${newName()}`,
        }),
      };
    },
  };

  function found(document, operationId) {
    for (const [path, item] of Object.entries(document.paths)) {
      for (const [method, operation] of Object.entries(item)) {
        if (operation.operationId === operationId) return { path, method, operation };
      }
    }
    return null;
  }

  async function fill(system, operationId) {
    const document = system.specSelectors.specJson().toJS();
    const place = found(document, operationId);
    if (!place || !FITTING[operationId]) return;
    const { body, ...parameters } = await FITTING[operationId]();
    const at = [place.path, place.method];
    for (const [name, value] of Object.entries(parameters)) {
      if (value !== undefined) system.specActions.changeParam(at, name, "path", value, false);
    }
    const example = body && exampleOf(system, at);
    if (example) system.oas3Actions.setRequestBodyValue({ value: JSON.stringify(body(example), null, 2), pathMethod: at });
  }

  function exampleOf(system, at) {
    const media = system.specSelectors.specResolvedSubtree(["paths", ...at, "requestBody", "content", "application/json"]);
    if (!media) return null;
    const schema = media.get("schema").toJS();
    return JSON.parse(system.fn.getSampleSchema(schema, "application/json", { includeWriteOnly: true }));
  }

  window.examples = () => ({
    statePlugins: {
      layout: {
        wrapActions: {
          // "Try it out" shows its fields when their examples are there.
          show: (show, system) => async (thing, shown = true) => {
            if (shown && thing[0] === "operations" && thing[3] === "try-it-out") await fill(system, thing[2]);
            return show(thing, shown);
          },
        },
      },
    },
  });
})();
