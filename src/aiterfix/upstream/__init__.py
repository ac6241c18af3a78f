"""Follow the fix upstream, and carry it there. What asks git or GitHub needs the extra ``upstream``.

    gitrepo ──► scan ──► milestones ──► report        which tags have which fix, by source
    github (cache) ──► status                         what the pull requests' states mean
    gitrepo ──► export (regression, proposal)         a branch with the semantic patch

Judgement is always by source, never by ancestry, and never by what a pull request is called. ``gitrepo`` runs git's
plumbing and writes to nothing but the object database and one new branch; ``github`` speaks to one
host and trusts nothing that it answers.
"""
