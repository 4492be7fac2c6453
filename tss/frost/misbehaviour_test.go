package frost

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"chancery.dev/internal/group"
	"chancery.dev/internal/shamir"
	"chancery.dev/tss"
)

// One test for each misdeed that is more than a changed field; those are in the adversary matrix.

// deal replaces what party 1 broadcasts as its package, to itself as to others, and gives every honest party's error.
func deal(t *testing.T, suite Suite, forge func(d *Dealing) []byte) map[tss.PartyID]error {
	t.Helper()
	machines, net := startDKG(t, suite, 3, ids(4))
	var forged tss.Envelope
	net.tamper = func(e tss.Envelope, _ tss.PartyID) []tss.Envelope {
		if e.From != 1 {
			return []tss.Envelope{e}
		}
		switch e.Round {
		case roundPackage:
			if forged.Payload == nil {
				forged = e
				forged.Payload = forge(machines[1])
				forged.Signed = seal(forged)
			}
			e = forged
		case roundEcho:
			e = reecho(e, machines[1].inbox.Get(roundPackage, 1).Signed, forged.Signed)
		}
		return []tss.Envelope{e}
	}
	net.run()
	delete(net.errs, 1)
	return net.errs
}

func polynomial(t *testing.T, constant *group.Scalar, degree int) *shamir.Polynomial {
	t.Helper()
	p, err := shamir.NewPolynomial(constant, degree)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func mustBlame(t *testing.T, errs map[tss.PartyID]error, culprit tss.PartyID, check string) {
	t.Helper()
	if len(errs) == 0 {
		t.Fatal("nobody noticed")
	}
	for id, err := range errs {
		var fault *tss.Fault
		if !errors.As(err, &fault) || fault.Party != culprit || fault.Check != check {
			t.Errorf("party %d: got %v, want party %d blamed for %s", id, err, culprit, check)
		}
	}
}

func TestDealerMayNotChangeTheThreshold(t *testing.T) {
	for _, suite := range Suites() {
		for _, degree := range []int{1, 3, 4, 63} { // 2 is right
			errs := deal(t, suite, func(d *Dealing) []byte {
				poly := polynomial(t, suite.Curve().RandomScalar(), degree)
				p := dealt{commitment: poly.Commit()}
				p.proof = prove(suite, d.id[:], 1, poly.Constant(), p.commitment[0])
				return p.marshal(constantFree)
			})
			mustBlame(t, errs, 1, CheckPackage)
		}
	}
}

func TestDealerMayNotZeroTheLeadingCoefficient(t *testing.T) {
	suite := Secp256k1Taproot
	errs := deal(t, suite, func(d *Dealing) []byte {
		poly := polynomial(t, suite.Curve().RandomScalar(), 1)
		p := dealt{commitment: append(poly.Commit(), suite.Curve().Identity())}
		p.proof = prove(suite, d.id[:], 1, poly.Constant(), p.commitment[0])
		return p.marshal(constantFree)
	})
	mustBlame(t, errs, 1, CheckPackage)
}

// A rogue key needs a constant term that the dealer does not know; the proof of knowledge is what it cannot make.
func TestProofOfKnowledgeCannotBeBorrowed(t *testing.T) {
	for _, suite := range Suites() {
		constant := suite.Curve().RandomScalar()
		public := suite.Curve().BaseMul(constant)
		borrowed := map[string]func(d *Dealing) proof{
			"of another party":   func(d *Dealing) proof { return prove(suite, d.id[:], 2, constant, public) },
			"of another session": func(*Dealing) proof { return prove(suite, []byte("another session"), 1, constant, public) },
			"bound to nothing":   func(*Dealing) proof { return prove(suite, nil, 1, constant, public) },
			"of another term": func(d *Dealing) proof {
				k := suite.Curve().RandomScalar()
				return prove(suite, d.id[:], 1, k, suite.Curve().BaseMul(k))
			},
		}
		for name, make := range borrowed {
			t.Run(suite.Name()+" "+name, func(t *testing.T) {
				errs := deal(t, suite, func(d *Dealing) []byte {
					commitment := polynomial(t, constant, 2).Commit()
					return dealt{commitment, make(d)}.marshal(constantFree)
				})
				mustBlame(t, errs, 1, CheckProof)
			})
		}
	}
}

// The proofs are verified together; the batch must say exactly what each would say alone.
func TestBatchOfProofsSaysWhatEachSays(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		suite := rapid.SampledFrom(Suites()).Draw(rt, "suite")
		d := &Dealing{plan: plan{suite: suite, dealers: ids(5)}, packages: map[tss.PartyID]dealt{}}
		d.session.Self = 6
		wrong := rapid.SliceOfN(rapid.Bool(), 5, 5).Draw(rt, "wrong")
		all := true
		for i, id := range ids(5) {
			k := suite.Curve().RandomScalar()
			p := dealt{commitment: shamir.Commitment{suite.Curve().BaseMul(k)}}
			p.proof = prove(suite, d.id[:], id, k, p.commitment[0])
			if wrong[i] {
				p.proof.z = p.proof.z.Add(suite.Curve().ScalarFromUint64(1))
			}
			d.packages[id] = p
			alone := p.proof.verify(suite, d.id[:], id, p.commitment[0])
			if alone == wrong[i] {
				rt.Fatalf("proof %d alone: %v", i, alone)
			}
			all = all && alone
		}
		if d.proofsHold() != all {
			rt.Fatalf("batch says %v, the proofs one by one %v", !all, all)
		}
	})
}

func TestNoncesSpendThemselves(t *testing.T) {
	for _, suite := range Suites() {
		shares := runDKG(t, suite, 2, ids(2))
		a, b := shares[1].Commit(), shares[2].Commit()
		commitments := []Commitment{a.Commitment(), b.Commitment()}
		first, err := NewSigningPackage(shares[1].Public(), commitments, []byte("first"), Derivation{})
		if err != nil {
			t.Fatal(err)
		}
		second, err := NewSigningPackage(shares[1].Public(), commitments, []byte("second"), Derivation{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := shares[1].Sign(first, a); err != nil {
			t.Fatal(err)
		}
		for _, pkg := range []*SigningPackage{first, second} {
			if _, err := shares[1].Sign(pkg, a); !errors.Is(err, ErrNonceUsed) {
				t.Errorf("used nonces sign again: %v", err)
			}
		}
		// Nonces are spent by a failing attempt as well.
		other := runDKG(t, suite, 2, ids(2))
		if _, err := other[2].Sign(first, b); err == nil {
			t.Error("a share of another key signed")
		}
		if _, err := shares[2].Sign(first, b); !errors.Is(err, ErrNonceUsed) {
			t.Errorf("nonces outlive a failed attempt: %v", err)
		}
	}
}

func TestSigningPackageRefusesBadSigners(t *testing.T) {
	shares := runDKG(t, Secp256k1Taproot, 2, ids(3))
	public := shares[1].Public()
	c := map[tss.PartyID]Commitment{}
	for _, id := range ids(3) {
		c[id] = shares[id].Commit().Commitment()
	}
	stranger := c[3]
	stranger.id = 9
	zero := c[1]
	zero.id = 0
	for name, list := range map[string][]Commitment{
		"too few":    {c[1]},
		"none":       nil,
		"twice":      {c[1], c[1]},
		"unsorted":   {c[2], c[1]},
		"a stranger": {c[1], stranger},
		"index zero": {zero, c[2]},
	} {
		if _, err := NewSigningPackage(public, list, []byte("m"), Derivation{}); !errors.Is(err, errPackage) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := NewSigningPackage(public, []Commitment{c[1], c[2]}, make([]byte, MaxMessage+1), Derivation{}); err == nil {
		t.Error("an oversized message was taken")
	}
	if _, err := NewSigningPackage(public, []Commitment{c[1], c[2]}, nil, Derivation{Path: []uint32{1 << 31}}); err == nil {
		t.Error("a hardened step was taken")
	}
}

// Combine names every wrong partial signature, not only the first.
func TestCombineNamesEveryCulprit(t *testing.T) {
	for _, suite := range Suites() {
		shares := runDKG(t, suite, 3, ids(5))
		rapid.Check(t, func(rt *rapid.T) {
			wrong := rapid.SliceOfN(rapid.Bool(), 5, 5).Draw(rt, "wrong")
			var nonces []*Nonces
			var commitments []Commitment
			for _, id := range ids(5) {
				n := shares[id].Commit()
				nonces, commitments = append(nonces, n), append(commitments, n.Commitment())
			}
			pkg, err := NewSigningPackage(shares[1].Public(), commitments, []byte("m"), Derivation{})
			if err != nil {
				rt.Fatal(err)
			}
			var partials []Partial
			var culprits []tss.PartyID
			for i, id := range ids(5) {
				p, err := shares[id].Sign(pkg, nonces[i])
				if err != nil {
					rt.Fatal(err)
				}
				if wrong[i] { // each is off by a different amount, so that the errors do not cancel out
					p.z = p.z.Add(suite.Curve().ScalarFromUint64(uint64(1) << (8 * i)))
					culprits = append(culprits, id)
				}
				partials = append(partials, p)
			}
			_, err = pkg.Combine(partials)
			var faults Faults
			errors.As(err, &faults)
			var named []tss.PartyID
			for _, f := range faults {
				named = append(named, f.Party)
			}
			if (err == nil) != (len(culprits) == 0) || !slices.Equal(named, culprits) {
				rt.Fatalf("culprits %v, named %v (%v)", culprits, named, err)
			}
		})
	}
}

func TestStaleShareIsNamed(t *testing.T) {
	for _, suite := range Suites() {
		old := runDKG(t, suite, 3, ids(3))
		machines, net := startRefresh(t, old)
		net.mustSucceed(t)
		fresh := results(t, machines)
		stale := &KeyShare{public: fresh[2].public, self: 2, share: old[2].share} // restored from an old backup
		_, err := signTogether([]*KeyShare{fresh[1], stale, fresh[3]}, fresh[1].Public(), []byte("m"))
		var faults Faults
		if !errors.As(err, &faults) || len(faults) != 1 || faults[0].Party != 2 {
			t.Errorf("got %v, want party 2 named", err)
		}
		if _, err := UnmarshalKeyShare(stale.Marshal().Reveal()); err == nil {
			t.Error("a share that does not fit its public key was read back")
		}
	}
}

func TestPublicKeyRefusesWhatIsNoKey(t *testing.T) {
	for _, suite := range Suites() {
		good := runDKG(t, suite, 2, ids(3))[1].Public()
		curve := suite.Curve()
		with := func(id tss.PartyID, p *group.Point) map[tss.PartyID]*group.Point {
			out := map[tss.PartyID]*group.Point{}
			for k, v := range good.shares {
				out[k] = v
			}
			out[id] = p
			return out
		}
		for name, key := range map[string]struct {
			threshold int
			shares    map[tss.PartyID]*group.Point
			key       *group.Point
		}{
			"threshold one":          {1, good.shares, good.key},
			"threshold above count":  {4, good.shares, good.key},
			"lower true threshold":   {3, good.shares, good.key},
			"identity key":           {2, good.shares, curve.Identity()},
			"another key":            {2, good.shares, curve.Generator()},
			"index zero":             {2, with(0, good.key), good.key},
			"identity share":         {2, with(2, curve.Identity()), good.key},
			"share off the polynom.": {2, with(3, curve.Generator()), good.key},
		} {
			if _, err := newPublicKey(suite, key.threshold, key.shares, key.key, good.chain); err == nil {
				t.Errorf("%s: %s was taken for a key", suite.Name(), name)
			}
		}
	}
}

// Silence is no fault: whoever is waited for is named by Waiting, and the run stands still.
func TestSilenceIsWaitedForNotBlamed(t *testing.T) {
	for _, s := range scenarios(t) {
		all := record(t, s)
		for _, key := range sortedKeys(all) {
			where := fmt.Sprintf("%s %s: party %d silent in round %d", s.suite.Name(), s.name, key.from, key.round)
			machines, _ := s.start(t)
			net := newNetwork(machines)
			net.tamper = func(e tss.Envelope, _ tss.PartyID) []tss.Envelope {
				if e.Round == key.round && e.From == key.from && e.To == key.to {
					return nil
				}
				return []tss.Envelope{e}
			}
			net.run()
			waits := false
			for id, m := range machines {
				if err := net.errs[id]; err != nil {
					t.Errorf("%s: party %d: %v", where, id, err)
				}
				waits = waits || slices.Contains(m.Waiting(), key.from)
			}
			if !waits {
				t.Errorf("%s: nobody waits for it", where)
			}
		}
	}
}

// The order and number of deliveries change nothing.
func TestAnyOrderOfDelivery(t *testing.T) {
	for _, s := range scenarios(t) {
		for seed := range uint64(10) {
			machines, _ := s.start(t)
			rng := rand.New(rand.NewPCG(seed, 0))
			type delivery struct {
				e  tss.Envelope
				to tss.PartyID
			}
			var queue []delivery
			net := newNetwork(machines)
			collect := func() {
				for _, from := range net.ids() {
					for _, e := range machines[from].Outbox() {
						for _, to := range net.ids() {
							if to != from && (e.To == to || e.To == tss.Everyone) {
								queue = append(queue, delivery{e, to}, delivery{e, to}) // everything comes twice
							}
						}
					}
				}
			}
			for collect(); len(queue) > 0; collect() {
				i := rng.IntN(len(queue))
				d := queue[i]
				queue = slices.Delete(queue, i, i+1)
				if err := machines[d.to].Step(d.e); err != nil && !errors.Is(err, tss.ErrDead) {
					t.Fatalf("%s %s seed %d: party %d: %v", s.suite.Name(), s.name, seed, d.to, err)
				}
			}
			for id, m := range machines {
				if w := m.Waiting(); len(w) != 0 {
					t.Fatalf("%s %s seed %d: party %d still waits for %v", s.suite.Name(), s.name, seed, id, w)
				}
			}
		}
	}
}

// Messages of strangers and of other sessions change nothing.
func TestForeignMessagesAreIgnored(t *testing.T) {
	for _, s := range scenarios(t) {
		machines, _ := s.start(t)
		net := newNetwork(machines)
		net.tamper = func(e tss.Envelope, to tss.PartyID) []tss.Envelope {
			foreign := e
			foreign.Session[0] ^= 1
			if err := machines[to].Step(foreign); !errors.Is(err, tss.ErrSession) && !errors.Is(err, tss.ErrDead) {
				t.Errorf("%s: message of another session: %v", s.name, err)
			}
			stranger := e
			stranger.From = 99
			if err := machines[to].Step(stranger); !errors.Is(err, tss.ErrSender) && !errors.Is(err, tss.ErrDead) {
				t.Errorf("%s: message of a stranger: %v", s.name, err)
			}
			mirrored := e
			mirrored.From = to
			if err := machines[to].Step(mirrored); !errors.Is(err, tss.ErrSender) && !errors.Is(err, tss.ErrDead) {
				t.Errorf("%s: message from oneself: %v", s.name, err)
			}
			return []tss.Envelope{e}
		}
		net.mustSucceed(t)
	}
}

// No combination of what honest parties signed convicts one of them, of anything; nor does it with whatever party 1 signs
// later in the same session to frame the others.
func TestHonestMessagesConvictNobody(t *testing.T) {
	checks := []string{CheckPackage, CheckProof, CheckShare, CheckConfirm, CheckVerdict, CheckComplaint, CheckCommitments, CheckPartial,
		CheckSplit, CheckPart, CheckColumn, tss.CheckEcho, tss.CheckEquivocation, tss.CheckRound, tss.CheckRecipient, "", "no such check"}
	tried := 0
	for _, s := range scenarios(t) {
		machines, context := s.start(t)
		byRound := map[uint8][][]byte{}
		var all []tss.Envelope
		net := newNetwork(machines)
		net.tamper = func(e tss.Envelope, to tss.PartyID) []tss.Envelope {
			if !slices.ContainsFunc(all, func(o tss.Envelope) bool { return string(o.Signed) == string(e.Signed) }) {
				all = append(all, e)
				byRound[e.Round] = append(byRound[e.Round], e.Signed)
			}
			return []tss.Envelope{e}
		}
		net.mustSucceed(t)
		machines, _ = s.start(t) // the same session, other randomness: what party 1 could have said
		again := newNetwork(machines)
		var later []tss.Envelope
		again.tamper = func(e tss.Envelope, _ tss.PartyID) []tss.Envelope {
			if e.From == 1 {
				later = append(later, e)
				byRound[e.Round+100] = append(byRound[e.Round+100], e.Signed)
				for i, signed := range byRound[e.Round] { // the round with party 1's message exchanged
					if o, err := open(signed); err == nil && o.From == 1 {
						byRound[e.Round+100] = append(slices.Clone(byRound[e.Round][:i]), append([][]byte{e.Signed}, byRound[e.Round][i+1:]...)...)
					}
				}
			}
			return []tss.Envelope{e}
		}
		again.mustSucceed(t)
		for _, e := range all {
			if e.From == 1 {
				continue
			}
			evidence := [][]byte{nil, tss.EncodeEvidence(), tss.EncodeEvidence(e.Signed), tss.EncodeEvidence(e.Signed, e.Signed)}
			for _, other := range append(slices.Clone(all), later...) {
				evidence = append(evidence, tss.EncodeEvidence(e.Signed, other.Signed), tss.EncodeEvidence(other.Signed, e.Signed))
			}
			for _, round := range byRound {
				evidence = append(evidence, tss.EncodeEvidence(append([][]byte{e.Signed}, round...)...))
			}
			for _, check := range checks {
				for _, ev := range evidence {
					tried++
					f := &tss.Fault{Party: e.From, Round: e.Round, Check: check, Evidence: ev}
					if VerifyFault(context, f) == nil {
						t.Errorf("%s %s: honest party %d is convicted of %q in round %d", s.suite.Name(), s.name, e.From, check, e.Round)
					}
				}
			}
		}
	}
	t.Logf("%d accusations refused", tried)
	if tried < 10000 {
		t.Errorf("only %d accusations were tried", tried)
	}
}
