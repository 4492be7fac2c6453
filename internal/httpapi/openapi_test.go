package httpapi

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write api/openapi.json anew")

// document is the description that the node serves, indented.
func document(t *testing.T) []byte {
	t.Helper()
	res := newAPI(t).ask(t, "GET", "/openapi.json", "", nil)
	if res.status != 200 || res.header.Get("Content-Type") != "application/openapi+json" {
		t.Fatalf("status %d, type %q", res.status, res.header.Get("Content-Type"))
	}
	var out bytes.Buffer
	if err := json.Indent(&out, res.body, "", "  "); err != nil {
		t.Fatal(err)
	}
	out.WriteByte('\n')
	return out.Bytes()
}

// The committed document is the one that the code makes. After a change of the API:
//
//	go test ./internal/httpapi -run OpenAPI -update
func TestOpenAPIFileIsCurrent(t *testing.T) {
	path, made := filepath.Join("..", "..", "api", "openapi.json"), document(t)
	if *update {
		if err := os.WriteFile(path, made, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, made) {
		t.Errorf("api/openapi.json is not what the code makes; run: go test ./internal/httpapi -run OpenAPI -update\nfirst difference: %s", firstDifference(string(have), string(made)))
	}
}

func firstDifference(have, want string) string {
	a, b := strings.Split(have, "\n"), strings.Split(want, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return "line " + strconv.Itoa(i+1) + ": have " + a[i] + ", want " + b[i]
		}
	}
	return "one of them is longer"
}

func TestOpenAPIFileIsTheSameEachTime(t *testing.T) {
	first := document(t)
	for range 5 {
		if again := document(t); !bytes.Equal(first, again) {
			t.Fatalf("two handlers describe themselves differently: %s", firstDifference(string(first), string(again)))
		}
	}
}

// openAPI is the part of the document that the tests read.
type openAPI struct {
	OpenAPI string `json:"openapi"`
	Paths   map[string]map[string]struct {
		OperationID string                 `json:"operationId"`
		Security    *[]map[string][]string `json:"security"`
		Responses   map[string]struct {
			Content map[string]struct {
				Schema struct {
					Ref string `json:"$ref"`
				} `json:"schema"`
			} `json:"content"`
		} `json:"responses"`
		RequestBody *struct {
			Required bool `json:"required"`
		} `json:"requestBody"`
	} `json:"paths"`
	Components struct {
		Schemas map[string]struct {
			Properties           map[string]any `json:"properties"`
			Required             []string       `json:"required"`
			AdditionalProperties any            `json:"additionalProperties"`
		} `json:"schemas"`
		SecuritySchemes map[string]struct{ Type, Scheme string } `json:"securitySchemes"`
	} `json:"components"`
	Security []map[string][]string `json:"security"`
}

func parsedDocument(t *testing.T) openAPI {
	t.Helper()
	var d openAPI
	if err := json.Unmarshal(document(t), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestOpenAPIListsEveryOperation(t *testing.T) {
	d := parsedDocument(t)
	if !strings.HasPrefix(d.OpenAPI, "3.1.") {
		t.Errorf("version is %q", d.OpenAPI)
	}
	if s := d.Components.SecuritySchemes["token"]; s.Type != "http" || s.Scheme != "bearer" || len(d.Security) != 1 || d.Security[0]["token"] == nil {
		t.Errorf("security is %v, scheme %v", d.Security, s)
	}
	want := map[string]bool{"GET /health": true, "GET /ready": true}
	for _, o := range operations {
		want[o.method+" "+o.template] = true
	}
	ids := map[string]bool{}
	for path, methods := range d.Paths {
		for method, op := range methods {
			name := strings.ToUpper(method) + " " + path
			if !want[name] {
				t.Errorf("%s is described and not tested: add it to operations", name)
			}
			delete(want, name)
			if op.OperationID == "" || ids[op.OperationID] {
				t.Errorf("%s: operation id %q is empty or stands twice", name, op.OperationID)
			}
			ids[op.OperationID] = true
			if open := op.Security != nil && len(*op.Security) == 0; open == strings.HasPrefix(path, "/api/") {
				t.Errorf("%s: open to all is %v", name, open)
			}
			if op.RequestBody != nil && !op.RequestBody.Required {
				t.Errorf("%s: the body is optional", name)
			}
		}
	}
	for name := range want {
		t.Errorf("%s is not described", name)
	}
}

// Every status that the code can answer with stands in the document, as a problem.
func TestOpenAPIListsEveryErrorStatus(t *testing.T) {
	d := parsedDocument(t)
	for path, methods := range d.Paths {
		for method, op := range methods {
			want := []int{http.StatusUnprocessableEntity, http.StatusServiceUnavailable}
			if strings.HasPrefix(path, "/api/") {
				want = append(want, http.StatusUnauthorized, http.StatusInternalServerError)
				for _, status := range statusOf {
					want = append(want, status)
				}
			}
			if method == "post" {
				want = append(want, http.StatusBadRequest, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
			}
			for _, status := range want {
				r, ok := op.Responses[strconv.Itoa(status)]
				if !ok {
					t.Errorf("%s %s: status %d is not listed", method, path, status)
					continue
				}
				if len(r.Content) != 1 || r.Content["application/problem+json"].Schema.Ref != "#/components/schemas/Problem" {
					t.Errorf("%s %s: status %d is %v, not a problem", method, path, status, r.Content)
				}
			}
		}
	}
}

func TestOpenAPISchemasAreClosed(t *testing.T) {
	d := parsedDocument(t)
	for name, s := range d.Components.Schemas {
		if s.AdditionalProperties != false {
			t.Errorf("%s takes fields that nobody described", name)
		}
	}
	problem := d.Components.Schemas["Problem"]
	for _, field := range []string{"status", "title", "code"} {
		if !slices.Contains(problem.Required, field) {
			t.Errorf("a problem may lack %s", field)
		}
	}
	if send := d.Components.Schemas["SendRequest"]; !slices.Contains(send.Required, "recipient") || !slices.Contains(send.Required, "amount_sats") {
		t.Errorf("a payment needs only %v", send.Required)
	}
}
