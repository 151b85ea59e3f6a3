// Starts the language server, which editors start in the same way:
//
//   node main.js --stdio
'use strict';
require('yaml-language-server/bin/yaml-language-server');
