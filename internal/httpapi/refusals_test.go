package httpapi

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestOperationsAnswer(t *testing.T) {
	a := newAPI(t)
	for _, o := range operations {
		t.Run(o.method+" "+o.template, func(t *testing.T) {
			res := a.ask(t, o.method, o.path, o.body, nil)
			if res.status != o.status || res.header.Get("Content-Type") != "application/json" {
				t.Errorf("status %d, type %q, body %s", res.status, res.header.Get("Content-Type"), res.body)
			}
			if calls := a.called(); !slices.Equal(calls, []string{o.call}) {
				t.Errorf("backend was asked %v", calls)
			}
			wantHeaders(t, res)
		})
	}
	if a.sent != (SendRequest{"bcrt1q", 1000, 2000, "k"}) || a.who != Initiator {
		t.Errorf("backend got %+v from %q", a.sent, a.who)
	}
	if a.made != (DKGRequest{"frost", 4, 5, ""}) || a.limit != 7 || a.id != someID {
		t.Errorf("backend got %+v, limit %d, id %q", a.made, a.limit, a.id)
	}
}

func TestListLimitHasADefault(t *testing.T) {
	a := newAPI(t)
	if res := a.ask(t, "GET", "/api/v1/transactions", "", nil); res.status != 200 || a.limit != 50 {
		t.Errorf("status %d, limit %d", res.status, a.limit)
	}
}

// refused asks, and checks that the backend heard nothing of it.
func (a *api) refused(t *testing.T, method, path, body string, edit func(*http.Request), status int, code string) Problem {
	t.Helper()
	p := wantProblem(t, a.ask(t, method, path, body, edit), status, code)
	if calls := a.called(); len(calls) != 0 {
		t.Errorf("backend was asked %v", calls)
	}
	return p
}

// Every operation refuses what is wrong in front of it.
func TestEveryOperationRefuses(t *testing.T) {
	a := newAPI(t)
	for _, o := range operations {
		t.Run(o.method+" "+o.template, func(t *testing.T) {
			for name, auth := range map[string]string{"no token": "", "wrong token": "Bearer " + strings.Repeat("x", len(testToken)), "basic": "Basic " + testToken} {
				res := a.ask(t, o.method, o.path, o.body, func(r *http.Request) { r.Header.Set("Authorization", auth) })
				wantProblem(t, res, 401, CodeUnauthorized)
				if res.header.Get("WWW-Authenticate") != "Bearer" || len(a.called()) != 0 {
					t.Errorf("%s: challenge is %q, or the backend was asked", name, res.header.Get("WWW-Authenticate"))
				}
			}
			for _, method := range []string{"PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "NONSENSE"} {
				res := a.ask(t, method, o.path, "", nil)
				wantProblem(t, res, 405, CodeInvalid)
				if !strings.Contains(res.header.Get("Allow"), o.method) {
					t.Errorf("%s: allow is %q", method, res.header.Get("Allow"))
				}
			}
			path, _, _ := strings.Cut(o.path, "?")
			for _, unknown := range []string{path + "/", path + "/no/such", strings.Replace(path, "v1", "v2", 1), strings.ToUpper(path[:8]) + path[8:]} {
				a.refused(t, o.method, unknown, o.body, nil, 404, CodeNotFound)
			}
			p := a.refused(t, o.method, path+"?nonsense=1", o.body, nil, 422, CodeInvalid)
			if len(p.Fields) != 1 || !strings.HasPrefix(p.Fields[0], "query.nonsense") {
				t.Errorf("fields are %v", p.Fields)
			}
		})
	}
}

// badBodies is what no operation with a body takes.
var badBodies = []struct {
	name, body string
	status     int
}{
	{"empty", "", 400},
	{"not JSON", "recipient=x", 400},
	{"cut off", `{"recipient":"bcrt1q"`, 400},
	{"two values", `{} {}`, 400},
	{"null", `null`, 422},
	{"array", `[]`, 422},
	{"string", `"x"`, 422},
	{"number", `1`, 422},
	{"nothing in it", `{}`, 422},
	{"deep", strings.Repeat("[", 20000), 400},
}

func TestBodiesRefused(t *testing.T) {
	a := newAPI(t)
	for _, o := range operations {
		if o.body == "" {
			continue
		}
		for _, c := range badBodies {
			t.Run(o.call+" "+c.name, func(t *testing.T) { a.refused(t, o.method, o.path, c.body, nil, c.status, CodeInvalid) })
		}
		t.Run(o.call+" content type", func(t *testing.T) {
			for _, ct := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/cbor"} {
				a.refused(t, o.method, o.path, o.body, func(r *http.Request) { r.Header.Set("Content-Type", ct) }, 415, CodeInvalid)
			}
		})
		t.Run(o.call+" size", func(t *testing.T) {
			padded := func(n int) string { return o.body + strings.Repeat(" ", n-len(o.body)) }
			if res := a.ask(t, o.method, o.path, padded(MaxBody-1), nil); res.status != o.status || len(a.called()) != 1 {
				t.Errorf("the largest body gets %d: %s", res.status, res.body)
			}
			for _, n := range []int{MaxBody, MaxBody + 1, 10 * MaxBody} {
				a.refused(t, o.method, o.path, padded(n), nil, 413, CodeInvalid)
				a.refused(t, o.method, o.path, padded(n), func(r *http.Request) { r.ContentLength = -1; r.TransferEncoding = []string{"chunked"} }, 413, CodeInvalid)
			}
		})
		t.Run(o.call+" broken off", func(t *testing.T) {
			cut := io.MultiReader(strings.NewReader(o.body[:5]), brokenReader{})
			a.refused(t, o.method, o.path, "", func(r *http.Request) { r.Body = io.NopCloser(cut) }, 400, CodeInvalid)
		})
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// Every field, out of its bounds in every way. The problem names the field, and does not repeat what was sent.
func TestFieldsRefused(t *testing.T) {
	a := newAPI(t)
	const sum = `"amount_sats":1000`
	for _, c := range []struct{ path, body, field string }{
		{"transactions", `{` + sum + `}`, "body"},
		{"transactions", `{"recipient":"bcrt1q"}`, "body"},
		{"transactions", `{"recipient":"bcrt1q",` + sum + `,"extra":1}`, "body.extra"},
		{"transactions", `{"recipient":"",` + sum + `}`, "body.recipient"},
		{"transactions", `{"recipient":7,` + sum + `}`, "body.recipient"},
		{"transactions", `{"recipient":null,` + sum + `}`, "body.recipient"},
		{"transactions", `{"recipient":["bcrt1q"],` + sum + `}`, "body.recipient"},
		{"transactions", `{"recipient":"` + strings.Repeat("q", 101) + `",` + sum + `}`, "body.recipient"},
		{"transactions", `{"recipient":"bcrt1q","amount_sats":0}`, "body.amount_sats"},
		{"transactions", `{"recipient":"bcrt1q","amount_sats":-1}`, "body.amount_sats"},
		{"transactions", `{"recipient":"bcrt1q","amount_sats":2100000000000001}`, "body.amount_sats"},
		{"transactions", `{"recipient":"bcrt1q","amount_sats":9223372036854775808}`, "body.amount_sats"},
		{"transactions", `{"recipient":"bcrt1q","amount_sats":1e300}`, "body.amount_sats"},
		{"transactions", `{"recipient":"bcrt1q","amount_sats":0.1}`, "body.amount_sats"},
		{"transactions", `{"recipient":"bcrt1q","amount_sats":1000.5}`, "body.amount_sats"},
		{"transactions", `{"recipient":"bcrt1q","amount_sats":1e3}`, "body"},
		{"transactions", `{"recipient":"bcrt1q","amount_sats":"1000"}`, "body.amount_sats"},
		{"transactions", `{"recipient":"bcrt1q","amount_sats":null}`, "body.amount_sats"},
		{"transactions", `{"recipient":"bcrt1q","amount_sats":true}`, "body.amount_sats"},
		{"transactions", `{"recipient":"bcrt1q",` + sum + `,"AMOUNT_SATS":-5}`, "body.AMOUNT_SATS"},
		{"transactions", `{"recipient":"bcrt1q",` + sum + `,"amount_ſats":-5}`, "body.amount_ſats"},
		{"transactions", `{"recipient":"bcrt1q",` + sum + `,"fee_rate_sat_per_kvb":-1}`, "body.fee_rate_sat_per_kvb"},
		{"transactions", `{"recipient":"bcrt1q",` + sum + `,"fee_rate_sat_per_kvb":100000001}`, "body.fee_rate_sat_per_kvb"},
		{"transactions", `{"recipient":"bcrt1q",` + sum + `,"fee_rate_sat_per_kvb":"1"}`, "body.fee_rate_sat_per_kvb"},
		{"transactions", `{"recipient":"bcrt1q",` + sum + `,"idempotency_key":"` + strings.Repeat("k", 129) + `"}`, "body.idempotency_key"},
		{"transactions", `{"recipient":"bcrt1q",` + sum + `,"idempotency_key":1}`, "body.idempotency_key"},
		{"dkg", `{"threshold":4,"total":5}`, "body"},
		{"dkg", `{"protocol":"frost","total":5}`, "body"},
		{"dkg", `{"protocol":"frost","threshold":4}`, "body"},
		{"dkg", `{"protocol":"frost","threshold":4,"total":5,"seed":1}`, "body.seed"},
		{"dkg", `{"protocol":"rsa","threshold":4,"total":5}`, "body.protocol"},
		{"dkg", `{"protocol":"FROST","threshold":4,"total":5}`, "body.protocol"},
		{"dkg", `{"protocol":1,"threshold":4,"total":5}`, "body.protocol"},
		{"dkg", `{"protocol":"frost","threshold":1,"total":5}`, "body.threshold"},
		{"dkg", `{"protocol":"frost","threshold":65,"total":5}`, "body.threshold"},
		{"dkg", `{"protocol":"frost","threshold":"4","total":5}`, "body.threshold"},
		{"dkg", `{"protocol":"frost","threshold":4,"total":1}`, "body.total"},
		{"dkg", `{"protocol":"frost","threshold":4,"total":65}`, "body.total"},
		{"dkg", `{"protocol":"frost","threshold":4,"total":-9}`, "body.total"},
		{"dkg", `{"protocol":"frost","threshold":4,"total":5,"idempotency_key":"` + strings.Repeat("k", 129) + `"}`, "body.idempotency_key"},
	} {
		t.Run(c.path+" "+c.body[:min(60, len(c.body))], func(t *testing.T) {
			p := a.refused(t, "POST", "/api/v1/"+c.path, c.body, nil, 422, CodeInvalid)
			if len(p.Fields) == 0 || !strings.HasPrefix(p.Fields[0], c.field+":") {
				t.Errorf("fields are %q, want %s", p.Fields, c.field)
			}
		})
	}
}

func TestParametersRefused(t *testing.T) {
	a := newAPI(t)
	for _, limit := range []string{"0", "-1", "501", "x", "1e2", "9223372036854775808", "1.5", "%00"} {
		p := a.refused(t, "GET", "/api/v1/transactions?limit="+limit, "", nil, 422, CodeInvalid)
		if len(p.Fields) != 1 || !strings.HasPrefix(p.Fields[0], "query.limit:") {
			t.Errorf("limit %s: fields are %q", limit, p.Fields)
		}
	}
	for _, id := range []string{"x", someID[1:], someID + "0", strings.ToUpper(someID), "g" + someID[1:], someID[:63] + "%0a", strings.Repeat("%2e%2e%2f", 20) + someID} {
		for _, tail := range []string{"", "/receipts"} {
			p := a.refused(t, "GET", "/api/v1/transactions/"+id+tail, "", nil, 422, CodeInvalid)
			if len(p.Fields) == 0 || !strings.HasPrefix(p.Fields[0], "path.id:") {
				t.Errorf("id %s: fields are %q", id, p.Fields)
			}
		}
	}
}

type codedError struct{ code, text string }

func (e codedError) Error() string      { return e.code + ": " + e.text }
func (e codedError) ReasonCode() string { return e.code }

// What each reason code of the domain becomes. 422 is what stands nowhere.
func TestReasonCodesHaveAStatus(t *testing.T) {
	for code, status := range map[string]int{
		"NOT_FOUND": 404, "REPLAY_OR_CONFLICT": 409, "KEY_NOT_ACTIVE": 409, "KEY_EXISTS": 409, "SESSIONS_EXHAUSTED": 429,
		"REMOTE_TIMEOUT": 503, "QUORUM_MISSING": 503, "CHAIN_UNAVAILABLE": 503, "FEES_UNAVAILABLE": 503, "TRANSACTION_REJECTED": 502,
		"REQUEST_INVALID": 422, "INTENT_EXPIRED": 422, "ADMISSION_DENIED": 422, "PAYLOAD_REJECTED": 422, "ADDRESS_INVALID": 422, "ADDRESS_WRONG_NETWORK": 422,
		"AMOUNT_DUST": 422, "AMOUNT_INVALID": 422, "FUNDS_INSUFFICIENT": 422, "FEE_OVER_CAP": 422, "FEE_INVALID": 422, "INPUT_SPENT": 422, "NOBODY_KNOWS_THIS": 422,
	} {
		for _, wrap := range []string{"%w", "plan: %w"} {
			a := newAPI(t)
			a.err = fmt.Errorf(wrap, codedError{code, "because"})
			for _, o := range operations {
				p := wantProblem(t, a.ask(t, o.method, o.path, o.body, nil), status, code)
				if p.Detail != a.err.Error() {
					t.Errorf("%s: detail is %q", code, p.Detail)
				}
			}
			if a.logged.Len() != 0 {
				t.Errorf("%s: a refusal is logged as ours: %s", code, a.logged)
			}
		}
	}
}

// Errors that are ours: the client learns that, the log learns why.
func TestOwnErrorsDoNotLeak(t *testing.T) {
	const cause = "open /var/lib/node/records.db: passphrase hunter2"
	for code, err := range map[string]error{
		CodeInternal: errors.New(cause), "KEYSTORE_IO": codedError{"KEYSTORE_IO", cause}, "KEYSTORE_CORRUPT": codedError{"KEYSTORE_CORRUPT", cause},
		"EXECUTION_FAILED": fmt.Errorf("load: %w", codedError{"EXECUTION_FAILED", cause}),
	} {
		for _, o := range operations {
			a := newAPI(t)
			a.err = err
			res := a.ask(t, o.method, o.path, o.body, nil)
			wantProblem(t, res, 500, code)
			if strings.Contains(string(res.body), "hunter2") || strings.Contains(string(res.body), "/var") {
				t.Errorf("%s leaks: %s", o.call, res.body)
			}
			if !strings.Contains(a.logged.String(), "hunter2") {
				t.Errorf("%s: the cause is not in the log: %q", o.call, a.logged)
			}
		}
	}
}

func TestCodesOfStatuses(t *testing.T) {
	for status, code := range map[int]string{400: CodeInvalid, 401: CodeUnauthorized, 404: CodeNotFound, 405: CodeInvalid, 413: CodeInvalid, 422: CodeInvalid, 500: CodeInternal, 503: CodeInternal} {
		if got := newProblem(status, "x", errors.New("text of a stranger")); got.GetStatus() != status || !strings.HasPrefix(got.Error(), code+": x") || strings.Contains(got.Error(), "stranger") {
			t.Errorf("%s: %v", strconv.Itoa(status), got)
		}
	}
}
