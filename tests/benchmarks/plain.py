"""What a project would write without Mandate: a REST framework view that inserts the same record."""

from django.urls import include, path
from rest_framework import generics, serializers

from practice import models


class TaskSerializer(serializers.ModelSerializer):
    class Meta:
        model = models.Task
        fields = ("id", "module", "title", "text")


class Tasks(generics.CreateAPIView):
    """Insert a draft; who may is known by a token, as everywhere in the people's API."""

    queryset = models.Task.objects.all()
    serializer_class = TaskSerializer

    def perform_create(self, serializer):
        serializer.save(ai_user=self.request.user)


urlpatterns = [path("plain/tasks/", Tasks.as_view()), path("", include("config.urls"))]
