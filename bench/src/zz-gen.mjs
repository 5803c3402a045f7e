import { preparedFolder } from "./support/people-data.mjs";
console.time("gen"); console.log(await preparedFolder(console.log)); console.timeEnd("gen");
