/**
 * Goes inline into the head, before the tag of `polder.js`, where a page calls Polder before the file has arrived: keeps the calls
 * with the page they were made on, until the file takes them over.
 */
export const stub =
  "!function(w,d){if(typeof(w.polder||0).track=='function')return;var q=[],p=w.polder={q:q,consent:{}};" +
  'function add(o,names){names.split(" ").forEach(function(m){o[m]=function(){var l=location;' +
  "q.push([m,[].slice.call(arguments),{url:l.origin+l.pathname+l.search,path:l.pathname,title:d.title,referrer:d.referrer},Date.now()]);return Promise.resolve()}})}" +
  'add(p,"page track identify group alias reset flush ready use debug");add(p.consent,"set withdraw onChange")}(window,document);';
