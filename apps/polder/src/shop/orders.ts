import type { Cart } from "./cart.ts";

export interface Order {
  id: string;
  cart: Cart;
  /** Who was logged in. */
  customer: string | undefined;
}

/** Orders of this run of the shop: what lasts is what Polder was told. The oldest are forgotten past `capacity`. */
export function createOrders({ newOrderId, capacity = 1000 }: { newOrderId: () => string; capacity?: number }) {
  const orders = new Map<string, Order & { wasSeen: boolean }>();
  return {
    place(cart: Cart, customer: string | undefined): Order {
      const order = { id: newOrderId(), cart, customer, wasSeen: false };
      orders.set(order.id, order);
      const [oldest] = orders.keys();
      if (orders.size > capacity && oldest !== undefined) orders.delete(oldest);
      return order;
    },
    /** `isFirstLook` is true once an order. */
    look(id: string): { order: Order; isFirstLook: boolean } | undefined {
      const order = orders.get(id);
      if (!order) return undefined;
      const isFirstLook = !order.wasSeen;
      order.wasSeen = true;
      return { order, isFirstLook };
    },
    ofCustomer: (customer: string): Order[] =>
      [...orders.values()].filter((order) => order.customer === customer).reverse(),
  };
}
