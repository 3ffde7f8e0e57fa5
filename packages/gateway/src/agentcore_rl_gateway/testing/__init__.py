"""Contracts of the gateway's seams, as test suites to subclass."""

from agentcore_rl_gateway.testing.renderer_conformance import RendererConformance

__all__ = ["RendererConformance"]
