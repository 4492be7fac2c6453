package frost

import (
	"errors"
	"slices"

	"chancery.dev/internal/group"
	"chancery.dev/internal/shamir"
	"chancery.dev/tss"
)

// NewDKG starts distributed key generation among all parties of the session: Feldman sharing from every party with a
// proof of knowledge of each constant term (PedPop), echo, shares, confirmation by all.
func NewDKG(s tss.Session, suite Suite, notary tss.Notary) (*Dealing, error) {
	ids := s.IDs()
	constant := suite.Curve().RandomScalar()
	defer constant.Erase()
	return newDealing(s, dkgPlan(s, suite, ids), notary, constant, nil)
}

func dkgPlan(s tss.Session, suite Suite, ids []tss.PartyID) plan {
	return plan{suite: suite, threshold: s.Threshold, dealers: ids, receivers: ids}
}

// NewRefresh starts a refresh: every holder deals zero, so the shares change and the key does not. All holders take part;
// threshold and set stay the same. The old share is not erased: keep it until the new one is safe, then close it.
func NewRefresh(s tss.Session, old *KeyShare, notary tss.Notary) (*Dealing, error) {
	p, err := refreshPlan(s, old.public)
	if err != nil {
		return nil, err
	}
	if old.self != s.Self {
		return nil, errors.New("share is of another party")
	}
	return newDealing(s, p, notary, p.suite.Curve().Zero(), old)
}

func refreshPlan(s tss.Session, old *PublicKey) (plan, error) {
	if !slices.Equal(s.IDs(), old.ids) || s.Threshold != old.threshold {
		return plan{}, errors.New("a refresh keeps the holders and the threshold; reshare to change them")
	}
	return plan{suite: old.suite, threshold: old.threshold, dealers: old.ids, receivers: old.ids, constant: constantZero, old: old}, nil
}

// Reshare says who deals and who receives. Dealers are exactly the old threshold of holders; all nodes must name the same.
type Reshare struct {
	Dealers   []tss.PartyID // ascending
	Receivers []tss.PartyID // ascending
}

// NewReshare moves a key to another set of holders or another threshold (session.Threshold): each dealer shares its share,
// with the constant term checked against its known verifying share, and the receivers combine what they get with the
// dealers' Lagrange coefficients. The key and chain code stay the same. old is nil for a receiver that holds no share yet.
func NewReshare(s tss.Session, public *PublicKey, old *KeyShare, r Reshare, notary tss.Notary) (*Dealing, error) {
	p, err := resharePlan(s, public, r)
	if err != nil {
		return nil, err
	}
	constant := p.suite.Curve().Zero()
	if has(r.Dealers, s.Self) {
		if old == nil || old.self != s.Self || !old.public.Equal(public) {
			return nil, errors.New("a dealer needs its share of this very key")
		}
		constant = old.share
	}
	return newDealing(s, p, notary, constant, nil)
}

func resharePlan(s tss.Session, public *PublicKey, r Reshare) (plan, error) {
	p := plan{suite: public.suite, threshold: s.Threshold, dealers: r.Dealers, receivers: r.Receivers, constant: constantShare, old: public, weights: map[tss.PartyID]*group.Scalar{}}
	if len(r.Dealers) != public.threshold {
		return p, errors.New("as many dealers as the old threshold are needed")
	}
	if !slices.IsSorted(r.Dealers) || !slices.IsSorted(r.Receivers) {
		return p, errors.New("dealers and receivers must be ascending")
	}
	if err := errors.Join(shamir.Indices(numbers(r.Dealers)), shamir.Indices(numbers(r.Receivers))); err != nil {
		return p, err
	}
	for _, id := range append(slices.Clone(r.Dealers), r.Receivers...) {
		if !s.Has(id) {
			return p, errors.New("session lacks a dealer or receiver")
		}
	}
	for _, id := range s.IDs() {
		if !has(r.Dealers, id) && !has(r.Receivers, id) {
			return p, errors.New("session has a party with no part")
		}
	}
	for _, id := range r.Dealers {
		if !has(public.ids, id) {
			return p, errors.New("a dealer holds no share")
		}
		w, err := shamir.Lagrange(p.suite.Curve(), numbers(r.Dealers), uint16(id))
		if err != nil {
			return p, err
		}
		p.weights[id] = w
	}
	return p, nil
}
