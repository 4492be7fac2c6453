package frost

import (
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"testing"

	"chancery.dev/internal/group"
	"chancery.dev/internal/shamir"
	"chancery.dev/tss"
)

const vectors = "../../vectors/"

func readVector(t *testing.T, name string, into any) {
	t.Helper()
	raw, err := os.ReadFile(vectors + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		t.Fatal(err)
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func scalarOf(t *testing.T, s Suite, hexed string) *group.Scalar {
	t.Helper()
	v, err := s.Curve().DecodeScalar(unhex(t, hexed))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// signingVector is the form that RFC 9591's and ZF's signing vectors share.
type signingVector struct {
	Config struct {
		Min string `json:"MIN_PARTICIPANTS"`
	} `json:"config"`
	Inputs struct {
		List         []int    `json:"participant_list"`
		Secret       string   `json:"group_secret_key"`
		PublicRFC    string   `json:"group_public_key"`
		PublicZF     string   `json:"verifying_key_key"`
		Message      string   `json:"message"`
		Coefficients []string `json:"share_polynomial_coefficients"`
		Shares       []struct {
			ID    int    `json:"identifier"`
			Share string `json:"participant_share"`
		} `json:"participant_shares"`
	} `json:"inputs"`
	One struct {
		Outputs []struct {
			ID            int    `json:"identifier"`
			HidingRandom  string `json:"hiding_nonce_randomness"`
			BindingRandom string `json:"binding_nonce_randomness"`
			Hiding        string `json:"hiding_nonce"`
			Binding       string `json:"binding_nonce"`
			HidingPublic  string `json:"hiding_nonce_commitment"`
			BindingPublic string `json:"binding_nonce_commitment"`
			FactorInput   string `json:"binding_factor_input"`
			Factor        string `json:"binding_factor"`
		} `json:"outputs"`
	} `json:"round_one_outputs"`
	Two struct {
		Outputs []struct {
			ID    int    `json:"identifier"`
			Share string `json:"sig_share"`
		} `json:"outputs"`
	} `json:"round_two_outputs"`
	Final struct {
		Signature string `json:"sig"`
	} `json:"final_output"`
}

func TestSigningVectors(t *testing.T) {
	for name, suite := range map[string]Suite{
		"frost-rfc9591/frost-secp256k1-sha256.json":            Secp256k1SHA256,
		"frost-zf/frost-secp256k1_vectors-big-identifier.json": Secp256k1SHA256,
		"frost-zf/frost-secp256k1-tr_vectors.json":             Secp256k1Taproot,
	} {
		t.Run(name, func(t *testing.T) {
			var v signingVector
			readVector(t, name, &v)
			checkSigningVector(t, suite, v)
		})
	}
}

// vectorKey rebuilds all shares from the polynomial and checks them against the vector.
func vectorKey(t *testing.T, suite Suite, v signingVector) map[int]*KeyShare {
	t.Helper()
	coefficients := []*group.Scalar{scalarOf(t, suite, v.Inputs.Secret)}
	for _, c := range v.Inputs.Coefficients {
		coefficients = append(coefficients, scalarOf(t, suite, c))
	}
	poly, err := shamir.FromCoefficients(coefficients)
	if err != nil {
		t.Fatal(err)
	}
	verifying := map[tss.PartyID]*group.Point{}
	ids := []tss.PartyID{}
	for _, s := range v.Inputs.Shares {
		if !poly.Eval(uint16(s.ID)).Equal(scalarOf(t, suite, s.Share)) {
			t.Fatalf("share of %d is not the vector's", s.ID)
		}
		ids = append(ids, tss.PartyID(s.ID))
		verifying[tss.PartyID(s.ID)] = suite.Curve().BaseMul(poly.Eval(uint16(s.ID)))
	}
	threshold, err := strconv.Atoi(v.Config.Min)
	if err != nil {
		t.Fatal(err)
	}
	public := assemble(suite, threshold, ids, verifying, suite.Curve().BaseMul(coefficients[0]), [32]byte{})
	if want := v.Inputs.PublicRFC + v.Inputs.PublicZF; hex.EncodeToString(public.GroupKey()) != want {
		t.Fatalf("group key %x, want %s", public.GroupKey(), want)
	}
	if err := public.checkPolynomial(); err != nil {
		t.Fatal(err)
	}
	out := map[int]*KeyShare{}
	for _, s := range v.Inputs.Shares {
		share, err := newKeyShare(public, tss.PartyID(s.ID), scalarOf(t, suite, s.Share))
		if err != nil {
			t.Fatal(err)
		}
		out[s.ID] = share
	}
	return out
}

func checkSigningVector(t *testing.T, suite Suite, v signingVector) {
	shares := vectorKey(t, suite, v)
	nonces := map[int]*Nonces{}
	var commitments []Commitment
	for _, o := range v.One.Outputs {
		n := shares[o.ID].commit(unhex(t, o.HidingRandom), unhex(t, o.BindingRandom))
		if hex.EncodeToString(n.hiding.Bytes()) != o.Hiding || hex.EncodeToString(n.binding.Bytes()) != o.Binding {
			t.Fatalf("nonces of %d differ from the vector", o.ID)
		}
		if hex.EncodeToString(n.commitment.encoded) != o.HidingPublic+o.BindingPublic {
			t.Fatalf("commitments of %d differ from the vector", o.ID)
		}
		nonces[o.ID] = n
		commitments = append(commitments, n.Commitment())
	}
	if len(commitments) == 0 || len(v.Two.Outputs) != len(commitments) {
		t.Fatal("vector has no signers")
	}
	public := shares[v.One.Outputs[0].ID].Public()
	pkg, err := NewSigningPackage(public, commitments, unhex(t, v.Inputs.Message), Derivation{})
	if err != nil {
		t.Fatal(err)
	}
	for i, o := range v.One.Outputs {
		if hex.EncodeToString(pkg.factors[i].Bytes()) != o.Factor {
			t.Fatalf("binding factor of %d is %x, want %s", o.ID, pkg.factors[i].Bytes(), o.Factor)
		}
	}
	var partials []Partial
	for _, o := range v.Two.Outputs {
		s, err := shares[o.ID].Sign(pkg, nonces[o.ID])
		if err != nil {
			t.Fatal(err)
		}
		if hex.EncodeToString(s.z.Bytes()) != o.Share {
			t.Fatalf("partial signature of %d is %x, want %s", o.ID, s.z.Bytes(), o.Share)
		}
		if err := pkg.Verify(s); err != nil {
			t.Fatal(err)
		}
		partials = append(partials, s)
	}
	signature, err := pkg.Combine(partials)
	if err != nil {
		t.Fatal(err)
	}
	if hex.EncodeToString(signature) != v.Final.Signature {
		t.Fatalf("signature %x, want %s", signature, v.Final.Signature)
	}
}

func TestDKGVectors(t *testing.T) {
	for name, suite := range map[string]Suite{
		"frost-zf/frost-ed25519_vectors_dkg.json":   Ed25519SHA512,
		"frost-zf/frost-secp256k1_vectors_dkg.json": Secp256k1SHA256,
	} {
		t.Run(name, func(t *testing.T) {
			var raw struct {
				Inputs map[string]json.RawMessage `json:"inputs"`
			}
			readVector(t, name, &raw)
			checkDKGVector(t, suite, raw.Inputs)
		})
	}
}

type dkgParty struct {
	ID          int               `json:"identifier"`
	Key         string            `json:"signing_key"`
	Coefficient string            `json:"coefficient"`
	Commitments []string          `json:"vss_commitments"`
	Proof       string            `json:"proof_of_knowledge"`
	Shares      map[string]string `json:"signing_shares"`
	Verifying   string            `json:"verifying_share"`
	Signing     string            `json:"signing_share"`
}

func checkDKGVector(t *testing.T, suite Suite, inputs map[string]json.RawMessage) {
	var key string
	if err := json.Unmarshal(inputs["verifying_key"], &key); err != nil {
		t.Fatal(err)
	}
	parties := map[string]dkgParty{}
	polys := map[string]*shamir.Polynomial{}
	var sum shamir.Commitment
	for _, name := range []string{"1", "2", "3"} {
		var p dkgParty
		if err := json.Unmarshal(inputs[name], &p); err != nil {
			t.Fatal(err)
		}
		poly, err := shamir.FromCoefficients([]*group.Scalar{scalarOf(t, suite, p.Key), scalarOf(t, suite, p.Coefficient)})
		if err != nil {
			t.Fatal(err)
		}
		commitment := poly.Commit()
		for i, want := range p.Commitments {
			if hex.EncodeToString(commitment[i].Bytes()) != want {
				t.Fatalf("party %s: commitment %d differs", name, i)
			}
		}
		proofBytes := unhex(t, p.Proof)
		r := reader{b: proofBytes}
		got := proof{r.point(suite), r.scalar(suite)}
		if r.end() != nil || !got.verify(suite, nil, tss.PartyID(p.ID), commitment[0]) {
			t.Fatalf("party %s: proof of knowledge is refused", name)
		}
		if got.verify(suite, nil, tss.PartyID(p.ID+1), commitment[0]) || got.verify(suite, []byte{1}, tss.PartyID(p.ID), commitment[0]) {
			t.Fatalf("party %s: proof of knowledge holds for another party or session", name)
		}
		if sum == nil {
			sum = commitment
		} else if sum, err = sum.Add(commitment); err != nil {
			t.Fatal(err)
		}
		parties[name], polys[name] = p, poly
	}
	if hex.EncodeToString(sum[0].Bytes()) != key {
		t.Fatalf("group key %s, want %s", sum[0], key)
	}
	for name, p := range parties {
		total := polys[name].Eval(uint16(p.ID))
		for other, share := range p.Shares { // shares that this party got from the others
			if got := polys[other].Eval(uint16(p.ID)); hex.EncodeToString(got.Bytes()) != share {
				t.Fatalf("party %s: share from %s is %x, want %s", name, other, got.Bytes(), share)
			}
			total = total.Add(polys[other].Eval(uint16(p.ID)))
		}
		if hex.EncodeToString(total.Bytes()) != p.Signing || hex.EncodeToString(sum.Eval(uint16(p.ID)).Bytes()) != p.Verifying {
			t.Fatalf("party %s: final share differs", name)
		}
	}
}

func TestRepairVector(t *testing.T) {
	var v struct {
		Scalars map[string]string `json:"scalar_generation"`
		Sigmas  map[string]string `json:"sigma_generation"`
	}
	readVector(t, "frost-zf/frost-secp256k1_repair-share.json", &v)
	s := Secp256k1SHA256
	for _, c := range []struct {
		parts []string
		want  string
	}{
		{[]string{v.Scalars["random_scalar_1"], v.Scalars["random_scalar_2"], v.Scalars["random_scalar_3"]}, v.Scalars["random_scalar_sum"]},
		{[]string{v.Sigmas["sigma_1"], v.Sigmas["sigma_2"], v.Sigmas["sigma_3"], v.Sigmas["sigma_4"]}, v.Sigmas["sigma_sum"]},
	} {
		sum := s.Curve().Zero()
		for _, p := range c.parts {
			sum = sum.Add(scalarOf(t, s, p))
		}
		if hex.EncodeToString(sum.Bytes()) != c.want {
			t.Errorf("sum is %x, want %s", sum.Bytes(), c.want)
		}
	}
}

func TestBIP340Vectors(t *testing.T) {
	f, err := os.Open(vectors + "bip340/test-vectors.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil || len(rows) != 20 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for _, row := range rows[1:] {
		got := Secp256k1Taproot.Verify(unhex(t, row[2]), unhex(t, row[4]), unhex(t, row[5])) == nil
		if want := strings.TrimSpace(row[6]) == "TRUE"; got != want {
			t.Errorf("vector %s (%s): verification is %v, want %v", row[0], row[7], got, want)
		}
	}
}

func TestBIP341OutputKeys(t *testing.T) {
	var v struct {
		ScriptPubKey []struct {
			Given struct {
				Internal string `json:"internalPubkey"`
			} `json:"given"`
			Intermediary struct {
				Root   *string `json:"merkleRoot"`
				Output string  `json:"tweakedPubkey"`
			} `json:"intermediary"`
		} `json:"scriptPubKey"`
	}
	readVector(t, "bip341/wallet-test-vectors_part1.json", &v)
	if len(v.ScriptPubKey) == 0 {
		t.Fatal("no vectors")
	}
	for i, c := range v.ScriptPubKey {
		key, err := group.Secp256k1.DecodePoint(append([]byte{2}, unhex(t, c.Given.Internal)...))
		if err != nil {
			t.Fatal(err)
		}
		d := Derivation{Taproot: true}
		if c.Intermediary.Root != nil {
			d.MerkleRoot = unhex(t, *c.Intermediary.Root)
		}
		for _, p := range []*group.Point{key, key.Neg()} { // the parity of the group key must not matter
			got, err := (&PublicKey{suite: Secp256k1Taproot, key: p}).DerivedKey(d)
			if err != nil || hex.EncodeToString(got) != c.Intermediary.Output {
				t.Errorf("output %d: key %x, want %s (%v)", i, got, c.Intermediary.Output, err)
			}
		}
	}
}
