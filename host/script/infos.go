package script

import (
	"context"

	"github.com/ldirectord/ldirectord/sdk"
)

// Infos is what the checks of this package say of themselves, without a process to run them.
func Infos(ctx context.Context) ([]sdk.Info, error) {
	var all []sdk.Info
	for _, c := range []sdk.Checker{&externalChecker{}, &perlChecker{}} {
		info, err := c.Describe(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, info)
	}
	return all, nil
}
