"""What holds for the groups of any set of files."""

from __future__ import annotations

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from discover.simulated_headers import LENGTH, START, SUBBANDS, formed, headers, row

GROUPS = 4
FILES = GROUPS * SUBBANDS
BELOW = 0.128  # s: the agreement asked for is 0.12885 s

indices = st.integers(0, FILES - 1)
hard = settings(max_examples=40, deadline=None)


@hard
@given(
    order=st.permutations(range(FILES)),
    lost=st.sets(indices, max_size=8),
    again=st.sets(indices, max_size=6),
    jitter=st.floats(0, BELOW),
    seed=st.integers(0, 5),
)
def test_any_order_jitter_loss_and_duplication(order, lost, again, jitter, seed):
    table = headers(GROUPS, jitter, seed=seed)
    copies = table.iloc[sorted(again)]
    copies = copies.assign(path="copy/" + copies["path"], mtime_ns=2)
    kept = table.iloc[[i for i in order if i not in lost]]
    groups, rejected = formed(pd.concat([copies, kept]))  # checks that every file ends once
    assert formed(pd.concat([kept, copies]).sort_values("path")) == (groups, rejected)
    for number in range(GROUPS):
        present = {i for i in range(FILES) if i // SUBBANDS == number} - (lost - again)
        mine = [f for f in groups.values() if f"/g{number}_" in f[0]]
        assert len(mine) == (len(present) >= 3)
        for files in mine:
            assert len({path[-9:] for path in files}) == len(files) == len(present)
            for i in present & again:  # the copy is later, so it is the one
                assert f"copy/{table['path'][i]}" in files


@hard
@given(alone=st.integers(0, GROUPS - 1), others=st.sets(indices))
def test_a_group_does_not_depend_on_the_others(alone, others):
    table = headers(GROUPS)
    mine = table.index // SUBBANDS == alone
    groups, _ = formed(table[mine])
    with_others, _ = formed(table[mine | table.index.isin(others)])
    assert groups.items() <= with_others.items()


@hard
@given(
    st.lists(
        st.tuples(
            st.floats(0, 3 * LENGTH),
            st.integers(0, SUBBANDS - 1),
            st.sampled_from([55.58, 55.5800004, 55.591, 16.0]),
            st.sampled_from([24, 23]),
            st.integers(1, 3),
        ),
        max_size=25,
    ),
    st.randoms(use_true_random=False),
)
def test_any_mess_is_sorted_the_same_way(files, random):
    rows = [
        row(f"raw/f{k}.hdf5", START + s / 86400, slot, dec_app_deg=dec, n_times=n, mtime_ns=m)
        for k, (s, slot, dec, n, m) in enumerate(files)
    ]
    if not rows:
        return
    table = pd.DataFrame(rows)
    groups, rejected = formed(table)
    random.shuffle(rows)
    assert formed(pd.DataFrame(rows)) == (groups, rejected)
    slot = dict(zip(table["path"], table["freq_min_hz"], strict=True))
    first = dict(zip(table["path"], table["first_mjd"], strict=True))
    dec = dict(zip(table["path"], table["dec_app_deg"], strict=True))
    for files_of in groups.values():
        assert len(files_of) >= 3
        assert [slot[f] for f in files_of] == sorted({slot[f] for f in files_of})
        assert max(map(first.get, files_of)) - min(map(first.get, files_of)) <= 0.1289 / 86400
        assert max(map(dec.get, files_of)) - min(map(dec.get, files_of)) <= 0.01
