import{a as e}from"./chunk-U5C4K2QO.js";function t(){return Promise.reject(new e("this page: it was built without a network, expected a server; run dinocell serve"))}export{t as browserBackend};
