"""ELAD (Zhang et al., Findings of ACL 2024, arXiv 2402.13098): the student's shakiest explanations, revised.

Questions are bought where steps move the student's answer and where its explanations disagree (`selection`). The
teacher then checks one of these explanations step by step, keeps what is right word for word, and goes on from the
first flaw (`revision`). The paper's text could not be had: docs/methods/elad.md says for every choice whether it is
confirmed or reconstructed. No gold answer is read.
"""
