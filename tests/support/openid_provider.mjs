// A real OpenID provider for tests: oidc-provider, with the forms for development to log in and consent.
// node openid_provider.mjs PORT; it prints "ready". POST /rotate changes its keys, GET /fetches counts fetches of them.
import { createServer } from "node:http";
import { generateKeyPair } from "node:crypto";
import { promisify } from "node:util";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

// oidc-provider is found in the folder that the test starts this in.
const require = createRequire(pathToFileURL(`${process.cwd()}/`));
const { Provider } = await import(pathToFileURL(require.resolve("oidc-provider")));
const port = Number(process.argv[2]);
const issuer = `http://127.0.0.1:${port}`;
const groups = { curator: ["/curators"], astronomer: ["users"] };
const jwt = (audience) => ({ scope: "deposit", audience, accessTokenFormat: "jwt", accessTokenTTL: 600 });

async function key(kid) {
  const { privateKey } = await promisify(generateKeyPair)("rsa", { modulusLength: 2048 });
  return { ...privateKey.export({ format: "jwk" }), kid, use: "sig", alg: "RS256" };
}

async function provider(kid) {
  const client = {
    redirect_uris: [`${issuer}/back`],
    grant_types: ["authorization_code", "refresh_token"],
    token_endpoint_auth_method: "none",
    application_type: "native",
  };
  const made = new Provider(issuer, {
    clients: [
      { ...client, client_id: "casaprov-archive" },
      { ...client, client_id: "other-program" },
      { client_id: "archive-server", client_secret: "secret of the archive", redirect_uris: [`${issuer}/back`] },
    ],
    jwks: { keys: [await key(kid)] },
    cookies: { keys: ["cookie"] },
    claims: { openid: ["sub"], profile: ["name", "groups"] },
    scopes: ["openid", "offline_access", "profile", "deposit"],
    issueRefreshToken: () => true,
    rotateRefreshToken: () => true,
    extraTokenClaims: (ctx, token) => (token.format === "jwt" ? { groups: groups[token.accountId] ?? [] } : undefined),
    formats: {
      customizers: {
        // As Keycloak writes them: the client stands in azp, the audience is not the archive.
        jwt(ctx, token, parts) {
          if (parts.payload.aud === "account") {
            parts.payload.azp = parts.payload.client_id;
            parts.payload.typ = "Bearer";
            parts.header = { typ: "JWT" };
            delete parts.payload.client_id;
          }
          return parts;
        },
      },
    },
    features: {
      devInteractions: { enabled: true },
      introspection: {
        enabled: true,
        allowedPolicy: (ctx, asking, token) => asking.clientId === "archive-server" || token.clientId === asking.clientId,
      },
      revocation: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (ctx, name) => jwt(name === "urn:keycloak" ? "account" : name.slice("urn:".length)),
        useGrantedResource: () => true,
      },
    },
    findAccount: (ctx, id) => ({
      accountId: id,
      claims: () => ({ sub: id, name: `The ${id}`, groups: groups[id] ?? [] }),
    }),
    ttl: { AccessToken: 600, Grant: 600, IdToken: 600, Interaction: 600, RefreshToken: 600, Session: 600 },
  });
  return made.callback();
}

let serial = 1;
let fetches = 0;
let current = await provider(`key-${serial}`);
createServer(async (request, response) => {
  if (request.url === "/jwks") fetches += 1;
  if (request.url === "/fetches") return response.end(String(fetches));
  if (request.url === "/rotate") {
    current = await provider(`key-${(serial += 1)}`);
    return response.end(`key-${serial}`);
  }
  return current(request, response);
}).listen(port, "127.0.0.1", () => console.log("ready"));
