package policy

import (
	"slices"
	"testing"

	"chancery.dev/internal/intent"
)

func TestDecide(t *testing.T) {
	for _, c := range []struct {
		name    string
		policy  Policy
		facts   Facts
		verdict Verdict
		reasons []string
	}{
		{"allowed", AllowAll(), Facts{Rebuilt: true}, Allow, nil},
		{"not rebuilt", AllowAll(), Facts{}, Deny, []string{ReasonNotRebuilt}},
		{"no policy", Policy{}, Facts{Rebuilt: true}, Deny, []string{ReasonNoPolicy}},
	} {
		d := c.policy.Decide(intent.Intent{}, c.facts)
		if d.Verdict != c.verdict || !slices.Equal(d.Reasons, c.reasons) || d.Root != c.policy.Root() {
			t.Errorf("%s: %+v", c.name, d)
		}
	}
}

// What is forgotten fails closed.
func TestZeroValues(t *testing.T) {
	if (Decision{}).Verdict != Deny || (Decision{}).Release != ReleaseSeparately || (Decision{}).Verdict.String() != "deny" {
		t.Error("the zero decision is not a denial")
	}
	for v, want := range map[Verdict]string{Allow: "allow", NeedApprovals: "need-approvals", 77: "deny"} {
		if v.String() != want {
			t.Errorf("verdict %d prints as %s", v, v)
		}
	}
}
