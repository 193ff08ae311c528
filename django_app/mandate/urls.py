"""Addresses of the app: `include("mandate.urls")` gives a project all of them."""

from django.urls import URLPattern, URLResolver, path, re_path

from mandate.api import (
    approvals,
    audit,
    comparisons,
    events,
    figures,
    health,
    problems,
    prompts,
    runs,
    tool_api,
    webhooks,
)
from mandate.pages import approvals as approval_pages
from mandate.pages import comparisons as comparison_pages
from mandate.pages import drafts as draft_pages
from mandate.pages import operation, starting
from mandate.pages import runs as run_pages

urlpatterns: list[URLPattern | URLResolver] = [
    path("ok", health.ok),
    path("agents/", starting.agents_page, name="mandate-agents-page"),
    path("agents/<slug:slug>/start/", starting.start_page, name="mandate-start-page"),
    path("agents/runs/", run_pages.runs_page, name="mandate-runs-page"),
    path("agents/runs/<uuid:run_id>/", run_pages.run_page, name="mandate-run-page"),
    path("agents/runs/<uuid:run_id>/timeline/", run_pages.timeline_part, name="mandate-run-timeline"),
    path("agents/runs/<uuid:run_id>/cancel/", run_pages.cancel, name="mandate-run-cancel-page"),
    path("agents/runs/<uuid:run_id>/resume/", run_pages.resume, name="mandate-run-resume-page"),
    path("agents/approvals/", approval_pages.approvals_page, name="mandate-approvals-page"),
    path("agents/approvals/<uuid:approval_id>/", approval_pages.approval_page, name="mandate-approval-page"),
    path("agents/comparisons/", comparison_pages.comparisons_page, name="mandate-comparisons-page"),
    path(
        "agents/comparisons/<int:comparison_id>/",
        comparison_pages.comparison_page,
        name="mandate-comparison-page",
    ),
    path("agents/figures/", comparison_pages.figures_page, name="mandate-figures-page"),
    path("agents/operation/", operation.operation_page, name="mandate-operation-page"),
    path("agents/drafts/", draft_pages.first_page, name="mandate-first-drafts-page"),
    path("agents/drafts/<str:kind>/", draft_pages.drafts_page, name="mandate-drafts-page"),
    path("agents/drafts/<str:kind>/publish/", draft_pages.publish_page, name="mandate-drafts-publish-page"),
    path("agents/drafts/<str:kind>/record/<str:pk>/", draft_pages.draft_page, name="mandate-draft-page"),
    path("api/agents/runs/", runs.Runs.as_view(), name="mandate-runs"),
    path("api/agents/runs/<uuid:run_id>/", runs.Run.as_view(), name="mandate-run"),
    path("api/agents/runs/<uuid:run_id>/export/", runs.Export.as_view(), name="mandate-run-export"),
    path("api/agents/runs/<uuid:run_id>/cancel/", runs.Cancel.as_view(), name="mandate-run-cancel"),
    path("api/agents/runs/<uuid:run_id>/resume/", runs.Resume.as_view(), name="mandate-run-resume"),
    path(
        "api/agents/runs/<uuid:run_id>/results/<uuid:result_id>/",
        runs.Result.as_view(),
        name="mandate-run-result",
    ),
    path("api/agents/runs/<uuid:run_id>/audit/", audit.Audit.as_view(), name="mandate-run-audit"),
    path("api/agents/tool-calls/<uuid:call_id>/undo/", audit.Undo.as_view(), name="mandate-undo"),
    path(
        "api/agents/messages/<int:message_id>/redeliver/",
        audit.Redelivery.as_view(),
        name="mandate-redelivery",
    ),
    path("api/agents/quality/", audit.Quality.as_view(), name="mandate-quality"),
    path("api/agents/runs/<uuid:run_id>/limits/", runs.Limits.as_view(), name="mandate-run-limits"),
    path("api/agents/runs/<uuid:run_id>/events/", events.stream, name="mandate-run-events"),
    path("api/agents/figures/", figures.Figures.as_view(), name="mandate-figures"),
    path("api/agents/figures/models.csv", figures.Models.as_view(), name="mandate-model-figures"),
    path("api/agents/figures/prompts.csv", figures.Prompts.as_view(), name="mandate-prompt-figures"),
    path("api/agents/prompt-versions/", prompts.PromptVersions.as_view(), name="mandate-prompt-versions"),
    path("api/agents/comparisons/", comparisons.Comparisons.as_view(), name="mandate-comparisons"),
    path(
        "api/agents/comparisons/<int:comparison_id>/",
        comparisons.Comparison.as_view(),
        name="mandate-comparison",
    ),
    path(
        "api/agents/comparisons/<int:comparison_id>/figures.csv",
        comparisons.Export.as_view(),
        name="mandate-comparison-figures",
    ),
    path("api/agents/webhooks/", webhooks.receive, name="mandate-webhooks"),
    path("api/agents/approvals/", approvals.Approvals.as_view(), name="mandate-approvals"),
    path("api/agents/approvals/<uuid:approval_id>/", approvals.Approval.as_view(), name="mandate-approval"),
    path(
        "api/agents/approvals/<uuid:approval_id>/decision/",
        approvals.Decision.as_view(),
        name="mandate-approval-decision",
    ),
    path("agent-api/sessions/", tool_api.open_session, name="mandate-sessions"),
    path("agent-api/sessions/current/", tool_api.close_session, name="mandate-session"),
    path("agent-api/tools/", tool_api.list_tools, name="mandate-tools"),
    path("agent-api/tools/results/<uuid:result_id>/", tool_api.read_result, name="mandate-tool-result"),
    path("agent-api/tools/<str:name>/calls/", tool_api.call_tool, name="mandate-tool-calls"),
    re_path("^(?:api/agents|agent-api)/", problems.not_found),
]
