import { createRouter, createWebHistory } from "vue-router";
import Account from "./account.vue";
import Bulbs from "./bulbs.vue";
import Home from "./home.vue";

export const router = createRouter({
  history: createWebHistory(),
  routes: [
    { path: "/", component: Home, meta: { title: "Home" } },
    { path: "/bulbs", component: Bulbs, meta: { title: "Bulbs" } },
    { path: "/account", component: Account, meta: { title: "Account" } },
  ],
});

// No page view is sent from here: Polder sees the address change, and reads the title when it sends.
router.afterEach(({ meta }) => {
  document.title = String(meta.title);
});
