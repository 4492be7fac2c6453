// Package httpapi is a node's REST surface: what threshold-wallet.md lists under /api/v1, and the receipts.
//
// It holds no state and decides nothing. Requests are bounded before they are parsed, authenticated by a bearer token that
// is compared in constant time, and answered in JSON; errors are RFC 9457 problem details with a reason code. The OpenAPI
// 3.1 document is made from the same types and served at /openapi.json. api/openapi.json is a copy of it; after a change:
//
//	go test ./internal/httpapi -run OpenAPI -update
package httpapi
