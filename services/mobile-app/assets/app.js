// The page's logic: a guest account, a cart, an order, and its events as they come. Text goes in as text, never as HTML.
"use strict";

const STAMPS = ["order", "sign-in", "kitchen", "payment", "restaurant", "courier", "on the road", "delivered"];
// How many stamps a state stands for, and what the next one looks like.
const PROGRESS = {
  placing: [1, "now"], paying: [3, "now"], placed: [4, "now"], accepted: [5, "now"], tracking: [7, "now"],
  delivered: [8, ""], failing: [5, "warn"], refunded: [5, "warn"], declined: [3, "cross"], failed: [2, "cross"],
};
const WORDS = {
  placing: "asking the kitchen", paying: "asking the card network", placed: "with the restaurant", accepted: "being cooked",
  tracking: "on its way", delivered: "delivered", failing: "not possible, refund under way", refunded: "refunded",
  declined: "card declined", failed: "not placed",
};
const ENDS = { delivered: "good", refunded: "warn", declined: "bad", failed: "bad" };

const $ = (id) => document.getElementById(id);
const money = (minor, currency) => new Intl.NumberFormat("en", { style: "currency", currency }).format(minor / 100);
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

let catalogue = { restaurants: [], currency: "USD" };
let chosen = new Map();

async function ask(method, path, { body, token, headers } = {}) {
  const reply = await fetch(path, {
    method,
    headers: {
      ...(body && { "Content-Type": "application/json" }),
      ...(token && { Authorization: `Bearer ${token}` }),
      ...headers,
    },
    body: body && JSON.stringify(body),
  });
  const json = await reply.json().catch(() => ({}));
  if (!reply.ok) {
    throw Object.assign(new Error(json.detail || `the front door answered ${reply.status}`), { status: reply.status, problem: json });
  }
  return json;
}

// A guest signs up on the first order; the session lasts as long as the tab.
async function token(fresh = false) {
  const kept = sessionStorage.getItem("token");
  if (kept && !fresh) return kept;
  const guest = JSON.parse(sessionStorage.getItem("guest") || "null") ||
    { name: `guest-${crypto.randomUUID().slice(0, 13)}`, password: crypto.randomUUID() };
  sessionStorage.setItem("guest", JSON.stringify(guest));
  await ask("POST", "/accounts", { body: guest }).catch((error) => { if (error.status !== 409) throw error; });
  const session = await ask("POST", "/sessions", { body: guest });
  sessionStorage.setItem("token", session.token);
  return session.token;
}

function showMenu() {
  const restaurant = catalogue.restaurants.find((r) => r.id === $("restaurant").value);
  chosen = new Map();
  $("dishes").replaceChildren(...(restaurant?.dishes ?? []).map((dish) => {
    const line = $("dish").content.cloneNode(true);
    line.querySelector(".dish-name").textContent = dish.name;
    line.querySelector(".price").textContent = money(dish.price_minor, catalogue.currency);
    const output = line.querySelector("output");
    const change = (by) => {
      const count = Math.min(50, Math.max(0, (chosen.get(dish.sku)?.count ?? 0) + by));
      count ? chosen.set(dish.sku, { count, dish }) : chosen.delete(dish.sku);
      output.textContent = count;
      showTotal();
    };
    line.querySelector(".less").addEventListener("click", () => change(-1));
    line.querySelector(".more").addEventListener("click", () => change(1));
    return line;
  }));
  showTotal();
}

function showTotal() {
  const sum = [...chosen.values()].reduce((all, { count, dish }) => all + count * dish.price_minor, 0);
  $("order").disabled = sum === 0;
  $("order").textContent = sum === 0 ? "Choose a dish" : `Order for ${money(sum, catalogue.currency)}`;
}

function newSlip(cart) {
  const slip = $("slip").content.cloneNode(true).firstElementChild;
  slip.querySelector(".number").textContent = cart.order_id;
  slip.querySelector(".what").textContent =
    cart.items.map((i) => `${i.quantity} × ${i.name}`).join(", ") + ` · ${money(cart.amount_minor, cart.currency)}`;
  slip.querySelector(".stamps").append(...STAMPS.map((name) => Object.assign(document.createElement("li"), { textContent: name })));
  const link = slip.querySelector("a");
  if (cart.trace_id) {
    link.href = `${document.body.dataset.jaeger}/trace/${encodeURIComponent(cart.trace_id)}`;
    slip.querySelector("code").textContent = cart.trace_id;
  } else {
    slip.querySelector(".trace").remove();
  }
  $("none").hidden = true;
  $("slips").prepend(slip);
  return slip;
}

function stamp(slip, state, reason) {
  const [done, next] = PROGRESS[state] ?? [4, "now"];
  slip.className = `slip ${ENDS[state] ?? ""}`;
  slip.querySelector(".state").textContent = WORDS[state] ?? state;
  slip.querySelector(".why").textContent = reason ? `Because: ${reason.replaceAll("_", " ")}.` : "";
  slip.querySelectorAll(".stamps li").forEach((li, n) => { li.className = n < done ? "done" : n === done ? next : ""; });
}

// Server-sent events by hand: EventSource cannot send the token.
async function follow(slip, id) {
  let last = 0, state = "", wait = 500;
  while (!ENDS[state]) {
    try {
      const reply = await fetch(`/orders/${encodeURIComponent(id)}/events`, {
        headers: { Authorization: `Bearer ${await token()}`, Accept: "text/event-stream", "Last-Event-ID": String(last) },
      });
      if (reply.status === 401) await token(true);
      if (!reply.ok) throw new Error(`status ${reply.status}`);
      const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let text = "";;) {
        const { value, done } = await reader.read();
        if (done) break;
        const frames = (text + value).split("\n\n");
        text = frames.pop();
        for (const frame of frames) {
          const data = frame.split("\n").find((line) => line.startsWith("data:"));
          if (!data) continue;
          const event = JSON.parse(data.slice(5));
          [last, state, wait] = [event.seq, event.state, 500];
          stamp(slip, state, event.reason);
        }
      }
    } catch {
      wait = Math.min(wait * 2, 10_000);
    }
    if (!ENDS[state]) await pause(wait);
  }
}

async function order() {
  $("order").disabled = true;
  $("message").textContent = "";
  try {
    const bearer = await token();
    const items = [...chosen].map(([sku, { count }]) => ({ sku, quantity: count }));
    const cart = await ask("POST", "/carts", { body: { restaurant_id: $("restaurant").value, items } });
    const slip = newSlip(cart);
    stamp(slip, "placing");
    const body = { cart_id: cart.cart_id, card_token: $("card").value };
    const place = (bearer) => ask("POST", "/orders", { body, token: bearer, headers: { "Idempotency-Key": cart.cart_id } });
    try {
      const placed = await place(bearer).catch(async (error) => {
        if (error.status !== 401) throw error;
        return place(await token(true));
      });
      stamp(slip, placed.state, placed.reason);
      follow(slip, placed.order_id);
    } catch (error) {
      stamp(slip, error.status === 402 ? "declined" : "failed", error.message);
    }
    showMenu();
  } catch (error) {
    $("message").textContent = `${error.message}.`;
    showTotal();
  }
}

async function start() {
  $("ui").href = document.body.dataset.jaeger;
  $("order").addEventListener("click", order);
  $("restaurant").addEventListener("change", showMenu);
  try {
    catalogue = await ask("GET", "/restaurants");
  } catch (error) {
    $("message").textContent = `The menu cannot be shown: ${error.message}.`;
  }
  $("restaurant").replaceChildren(...catalogue.restaurants.map((r) => new Option(r.name, r.id)));
  showMenu();
}

start();
