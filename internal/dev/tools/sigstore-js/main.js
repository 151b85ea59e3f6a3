// Verifies a bundle about a file with sigstore-js, by a public key in PEM:
//
//   node main.js BUNDLE FILE KEY
//
// It exits with 0 if the bundle verifies, and with 1 if it does not. It asks no network.
'use strict';
const { createPublicKey } = require('node:crypto');
const { readFileSync } = require('node:fs');
const { bundleFromJSON } = require('@sigstore/bundle');
const { TrustedRoot } = require('@sigstore/protobuf-specs');
const { Verifier, toSignedEntity, toTrustMaterial } = require('@sigstore/verify');

const [bundle, file, key] = process.argv.slice(2);
const noServices = TrustedRoot.fromJSON({ mediaType: 'application/vnd.dev.sigstore.trustedroot+json;version=0.1' });
const trusted = toTrustMaterial(noServices, () => ({ publicKey: createPublicKey(readFileSync(key)), validFor: () => true }));
try {
  const entity = toSignedEntity(bundleFromJSON(JSON.parse(readFileSync(bundle, 'utf8'))), readFileSync(file));
  new Verifier(trusted, { tlogThreshold: 0, ctlogThreshold: 0, tsaThreshold: 0 }).verify(entity);
} catch (err) {
  console.error(`sigstore-js: ${err.message}`);
  process.exit(1);
}
